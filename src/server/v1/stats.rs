//! Figures of machines, to and from the texts of the original.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::worker::{Rate, WorkerStats};

use super::body::Fields;
use super::error::V1Result;

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;

/// The JSON that is sent as a text.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    load: String,
    disk: Disk,
    network: Flow,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disk {
    speed: String,
    usage: Vec<String>,
    counter: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Flow {
    speed: String,
    counter: String,
}

/// What a ping tells. What cannot be read of it is 0: figures are no reason to
/// refuse a sign of life.
pub(super) fn of_ping(fields: &Fields) -> V1Result<WorkerStats> {
    let load = fields.text("load")?.unwrap_or_default();
    let memory = fields.text("memory")?.unwrap_or_default();
    let sent = fields.text("stats")?.unwrap_or_default();
    let sent: Sent = serde_json::from_str(&sent).unwrap_or_default();
    let (user, iowait) = load.split_once('/').unwrap_or((&load, ""));
    let mut loads = sent.load.split_whitespace().map(number);
    let (disk_read, disk_write) = pair(&sent.disk.speed, &sent.disk.counter);
    let (network_sent, network_received) = pair(&sent.network.speed, &sent.network.counter);
    let disk_percent: BTreeMap<String, f64> = sent
        .disk
        .usage
        .iter()
        .filter_map(|usage| usage.rsplit_once(':'))
        .map(|(place, percent)| (place.to_owned(), number(percent)))
        .collect();
    Ok(WorkerStats {
        cpu_user_percent: number(user),
        cpu_iowait_percent: number(iowait),
        memory_percent: number(&memory),
        load: std::array::from_fn(|_| loads.next().unwrap_or(0.0)),
        disk_percent,
        disk_read,
        disk_write,
        network_sent,
        network_received,
    })
}

/// `load` as the original has it.
pub(super) fn load(stats: &WorkerStats) -> String {
    format!("{:.1} / {:.1}", stats.cpu_user_percent, stats.cpu_iowait_percent)
}

/// `stats` as the original has it: JSON as a text.
pub(super) fn text(stats: &WorkerStats) -> String {
    let [one, five, fifteen] = stats.load;
    let usage: Vec<String> =
        stats.disk_percent.iter().map(|(place, percent)| format!("{place}:{percent:.0}")).collect();
    let speed = |one: Rate, other: Rate| {
        format!("{:.2}/{:.2} Mb/s", one.bytes_per_second / MIB, other.bytes_per_second / MIB)
    };
    let counter = |one: Rate, other: Rate| format!("{:.2}/{:.2} Gb", gib(one), gib(other));
    let value: Value = json!({
        "load": format!("{one:.1} {five:.1} {fifteen:.1}"),
        "disk": {
            "speed": speed(stats.disk_read, stats.disk_write),
            "usage": usage,
            "counter": counter(stats.disk_read, stats.disk_write),
        },
        "network": {
            "speed": speed(stats.network_sent, stats.network_received),
            "counter": counter(stats.network_sent, stats.network_received),
        },
    });
    value.to_string()
}

/// Two flows, from texts such as `1.5/0.2 Mb/s` and `3.0/0.1 Gb`.
fn pair(speed: &str, counter: &str) -> (Rate, Rate) {
    let split = |text: &str| {
        let figures = text.split_whitespace().next().unwrap_or_default();
        let (one, other) = figures.split_once('/').unwrap_or((figures, ""));
        (number(one), number(other))
    };
    let (speeds, totals) = (split(speed), split(counter));
    let rate =
        |speed: f64, total: f64| Rate { bytes_per_second: speed * MIB, total_bytes: bytes(total) };
    (rate(speeds.0, totals.0), rate(speeds.1, totals.1))
}

/// The number at the beginning of a text; 0 where there is none.
fn number(text: &str) -> f64 {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text.get(..end).unwrap_or_default().parse().unwrap_or(0.0);
    if number.is_finite() { number } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn gib(rate: Rate) -> f64 {
    rate.total_bytes as f64 / GIB
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast stops at the ends of the range"
)]
fn bytes(gib: f64) -> u64 {
    (gib * GIB) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the same digits are read back")]
    fn a_ping_is_read_and_printed() {
        let stats = json!({
            "load": "1.5 0.5 0.3",
            "disk": {"speed": "2.0/1.0 Mb/s", "usage": ["/:47", "/srv:3"], "counter": "4.0/0.5 Gb"},
            "network": {"speed": "-/- Mb/s", "counter": "0.0/0.0 Gb"},
        });
        let ping = json!({"load": "47.8↑ / 0.2", "memory": "4.4", "stats": stats.to_string()});
        let fields = Fields::parse(ping.to_string().as_bytes()).unwrap();
        let read = of_ping(&fields).unwrap();
        assert_eq!((read.cpu_user_percent, read.cpu_iowait_percent), (47.8, 0.2));
        assert_eq!((read.memory_percent, read.load), (4.4, [1.5, 0.5, 0.3]));
        assert_eq!(read.disk_percent["/srv"], 3.0);
        assert_eq!(read.disk_read.bytes_per_second, 2.0 * MIB);
        assert_eq!(read.disk_write.total_bytes, 1 << 29);
        assert_eq!(load(&read), "47.8 / 0.2");
        let printed: Value = serde_json::from_str(&text(&read)).unwrap();
        assert_eq!(printed["disk"]["speed"], "2.00/1.00 Mb/s");
        assert_eq!(printed["load"], "1.5 0.5 0.3");
    }

    #[test]
    fn a_ping_without_figures_is_a_ping() {
        assert!(of_ping(&Fields::default()).is_ok());
    }
}
