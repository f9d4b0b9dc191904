//! The table of figures.

use std::fmt;
use std::time::Duration;

/// Rows in the order in which they were measured.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    /// A figure that stands alone.
    pub fn alone(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        self.row([what.into(), figure.into(), String::new(), String::new()]);
    }

    /// A figure next to its peer's; the ratio is scitq's to the peer's.
    pub fn beside(
        &mut self,
        what: impl Into<String>,
        (figure, value): (String, f64),
        (peer, peer_value): (String, f64),
    ) {
        self.row([what.into(), figure, peer, format!("{:.2}", value / peer_value)]);
    }

    /// Rows are told as they come: the whole takes minutes.
    fn row(&mut self, row: [String; 4]) {
        eprintln!("{}", row.join(" | "));
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = ["what", "scitq", "bare", "scitq / bare"].map(str::to_owned);
        let all = || std::iter::once(&titles).chain(&self.rows);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths = [width(0), width(1), width(2), width(3)].map(Option::unwrap_or_default);
        for (number, row) in all().enumerate() {
            for (cell, width) in row.iter().zip(widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in widths {
                    write!(f, "|{:-<1$}", "", width + 2)?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// `count` per second of `time`, as text and number.
pub fn rate(count: u64, time: Duration) -> (String, f64) {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / time.as_secs_f64();
    (format!("{rate:.0}/s"), rate)
}

/// Median and 99th percentile, as text, and the median in milliseconds.
pub fn percentiles(mut times: Vec<Duration>) -> (String, f64) {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    (format!("{:.1} ms, p99 {:.1} ms", at(50), at(99)), at(50))
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// CPU time per task, microseconds.
pub fn per_task(time: Duration, tasks: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let micros = time.as_secs_f64() * 1e6 / tasks as f64;
    format!("{micros:.0} µs")
}

/// Memory, mebibytes.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
