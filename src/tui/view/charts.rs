//! The last hour of one worker.

use super::canvas::Canvas;
use crate::api::glance::WorkerSample;
use crate::tui::effect::Samples;
use crate::tui::text::{bytes, clean, pad, pad_left, sparkline};
use crate::tui::theme::Tone;

/// One line of the chart: name, figure, scale (none: the largest), unit.
type Line = (&'static str, fn(&WorkerSample) -> f64, Option<f64>, Unit);

#[derive(Debug, Clone, Copy)]
enum Unit {
    Percent,
    BytesPerSecond,
}

const LINES: [Line; 6] = [
    ("cpu", |sample| sample.cpu_percent, Some(100.0), Unit::Percent),
    ("iowait", |sample| sample.iowait_percent, Some(100.0), Unit::Percent),
    ("memory", |sample| sample.memory_percent, Some(100.0), Unit::Percent),
    ("fullest disk", |sample| sample.disk_percent, Some(100.0), Unit::Percent),
    ("disk", |sample| sample.disk_bytes_per_second, None, Unit::BytesPerSecond),
    ("network", |sample| sample.network_bytes_per_second, None, Unit::BytesPerSecond),
];

pub fn draw(canvas: &mut Canvas<'_>, name: &str, samples: Option<&Samples>, error: Option<&str>) {
    let title = format!("{} in the last hour", clean(name));
    let mut inside = canvas.boxed(100, LINES.len() * 2 + 3, &title);
    let faint = inside.tone(Tone::Faint);
    let Some(samples) = samples.map(|samples| &samples.samples) else {
        inside.text(0, 0, &clean(error.unwrap_or("reading …")), faint);
        return;
    };
    if samples.is_empty() {
        inside.text(0, 0, "no figures yet: there is one for each minute", faint);
        return;
    }
    let columns = inside.width().saturating_sub(28).max(5);
    for (number, (name, figure, most, unit)) in LINES.iter().enumerate() {
        let figures: Vec<f64> = samples.iter().map(figure).collect();
        let shown = figures.get(figures.len().saturating_sub(columns)..).unwrap_or_default();
        let last = figures.last().copied().unwrap_or(0.0);
        let label = format!("{} {} ", pad(name, 13), pad_left(&told(last, *unit), 12));
        let x = inside.text(0, number * 2, &label, ratatui::style::Style::new());
        let accent = inside.tone(Tone::Accent);
        inside.text(x, number * 2, &sparkline(shown, *most), accent);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive")]
fn told(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Percent => format!("{value:.0} %"),
        Unit::BytesPerSecond => format!("{}/s", bytes(value.max(0.0) as u64)),
    }
}
