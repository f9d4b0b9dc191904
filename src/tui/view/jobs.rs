//! Jobs and recruiters: what they are, until a provider is configured.

use super::canvas::Canvas;
use super::recruit::NO_PROVIDER;
use super::table::{self, Column, place};
use crate::tui::text::width;
use crate::tui::theme::Tone;

const JOBS: [Column; 6] = [
    Column::left("action", 8, 10).fixed(),
    Column::left("target", 10, 20),
    Column::left("state", 11, 11),
    Column::left("progress", 12, 20),
    Column::left("log", 10, 60).growing(),
    Column::right("age", 6, 8),
];

const RECRUITERS: [Column; 8] = [
    Column::left("batch", 8, 20).fixed(),
    Column::right("rank", 4, 4),
    Column::left("flavor", 10, 30).growing(),
    Column::left("region", 8, 12),
    Column::left("provider", 8, 12),
    Column::right("concurrency", 11, 11),
    Column::right("tasks/worker", 12, 12),
    Column::right("workers", 7, 9),
];

pub fn draw_jobs(canvas: &mut Canvas<'_>) {
    draw(canvas, &JOBS, "no jobs: machines that are created, set up or destroyed would be here");
}

/// The jobs in a few lines below the workers.
pub fn draw_below(canvas: &mut Canvas<'_>) {
    let (accent, faint) = (canvas.tone(Tone::Accent), canvas.tone(Tone::Faint));
    let title = "── 4 jobs ";
    let rest = "─".repeat(canvas.width().saturating_sub(width(title)));
    canvas.text(0, 0, &format!("{title}{rest}"), accent);
    canvas.text(2, 1, "no jobs", faint);
    let warning = canvas.tone(Tone::Warning);
    canvas.text(2, 2, NO_PROVIDER, warning);
}

pub fn draw_recruiters(canvas: &mut Canvas<'_>) {
    draw(canvas, &RECRUITERS, "no recruiters: they hire workers for a batch while it has tasks");
}

fn draw(canvas: &mut Canvas<'_>, columns: &'static [Column], text: &str) {
    let placed = place(columns, &[], 0, canvas.width());
    table::draw(canvas, columns, &[], &placed, None);
    let (faint, warning) = (canvas.tone(Tone::Faint), canvas.tone(Tone::Warning));
    canvas.text(2, 2, text, faint);
    canvas.text(2, 3, NO_PROVIDER, warning);
}
