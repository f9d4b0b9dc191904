//! The list of batches.

use std::cmp::Ordering;

use ratatui::style::Style;
use strum::IntoEnumIterator;

use super::canvas::Canvas;
use super::lists::sheet;
use super::table::{self, Cell, Column, Row, cell, plain};
use crate::api::batch::BatchView;
use crate::domain::batch::BatchPause;
use crate::domain::task::TaskState;
use crate::tui::state::{Item, State};
use crate::tui::text::{clean, natural_cmp, short_count, span};
use crate::tui::theme::{Theme, Tone, task_glyph, worker_glyph};

/// How two batches compare by one column.
type Compare = fn(&BatchView, &BatchView) -> Ordering;

/// Width of the bar of states.
const BAR: usize = 20;

/// The columns by which one can sort.
pub const COLUMNS: [(&str, Compare); 12] = [
    ("name", |a, b| natural_cmp(a.name.as_str(), b.name.as_str())),
    ("state", |a, b| a.pause.cmp(&b.pause)),
    ("progress", |a, b| progress(a).total_cmp(&progress(b))),
    ("tasks", |a, b| total(a).cmp(&total(b))),
    ("failed", |a, b| of(a, TaskState::Failed).cmp(&of(b, TaskState::Failed))),
    ("workers", |a, b| a.workers.values().sum::<u64>().cmp(&b.workers.values().sum::<u64>())),
    ("slots", |a, b| a.slots.taken.cmp(&b.slots.taken)),
    ("duration", |a, b| mean(a).total_cmp(&mean(b))),
    ("p95", |a, b| p95(a).total_cmp(&p95(b))),
    ("throughput", |a, b| a.throughput.total_cmp(&b.throughput)),
    ("remaining", |a, b| {
        let left = |batch: &BatchView| batch.remaining_seconds.unwrap_or(-1.0);
        left(a).total_cmp(&left(b))
    }),
    ("recruiters", |_, _| Ordering::Equal),
];

/// The same columns as they are drawn.
pub const TABLE: [Column; 12] = [
    Column::left("batch", 6, 24).fixed(),
    Column::left("state", 7, 10),
    Column::left("progress", BAR, BAR),
    Column::left("tasks", 8, 60),
    Column::right("failed", 6, 7),
    Column::right("left", 6, 8),
    Column::left("workers", 7, 24),
    Column::right("slots", 5, 11),
    Column::right("per min", 7, 8),
    Column::left("mean [min – max]", 8, 30),
    Column::left("median p95", 8, 18),
    Column::right("recruiters", 10, 10),
];

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let Some(sheet) = sheet(state) else { return };
    table::draw(canvas, sheet.columns, &sheet.rows, &sheet.placed, sheet.sorted);
    if sheet.rows.is_empty() {
        let text: &[&str] = match &state.batches.list.all {
            None => &["reading the batches …"],
            Some(all) if all.is_empty() => {
                &["no batches yet", "queue a task in one: scitq launch -b NAME COMMAND"]
            }
            Some(_) => &["the filter lets no batch through"],
        };
        let faint = canvas.tone(Tone::Faint);
        for (line, text) in text.iter().enumerate() {
            canvas.text(2, 2 + line, text, faint);
        }
    }
}

/// The rows on screen.
#[must_use]
pub fn rows(state: &State) -> Vec<Row> {
    let list = &state.batches.list;
    let range = list.range.map(|begin| (begin.min(list.cursor.row), begin.max(list.cursor.row)));
    list.rows()
        .enumerate()
        .skip(list.cursor.first)
        .take(state.list_height())
        .map(|(number, batch)| Row {
            cells: cells(state, batch),
            is_cursor: number == list.cursor.row,
            is_marked: list.marks.contains(&batch.key())
                || range.is_some_and(|(from, to)| (from..=to).contains(&number)),
        })
        .collect()
}

fn cells(state: &State, batch: &BatchView) -> Vec<Cell> {
    let theme = state.theme;
    let recruiters = state.recruiters.all.iter().flatten();
    let recruiters = recruiters.filter(|view| view.batch == batch.name).count();
    let (word, style) = match batch.pause {
        BatchPause::No => ("● go".to_owned(), theme.task(TaskState::Running)),
        BatchPause::Start => ("‖ paused".to_owned(), theme.task(TaskState::Paused)),
        BatchPause::Tasks => ("‖ all".to_owned(), theme.task(TaskState::Paused)),
    };
    let mut workers: Cell = Vec::new();
    for (of, count) in &batch.workers {
        let gap = if workers.is_empty() { "" } else { " " };
        workers.push((format!("{gap}{}{count}", worker_glyph(*of)), theme.worker(*of)));
    }
    let failed = of(batch, TaskState::Failed);
    let (mean, median) = match &batch.runtime {
        Some(runtime) => (
            format!(
                "{} [{} – {}]",
                span(runtime.mean),
                span(runtime.minimum),
                span(runtime.maximum)
            ),
            format!("{} {}", span(runtime.median), span(runtime.percentile_95)),
        ),
        None => ("-".to_owned(), "-".to_owned()),
    };
    vec![
        plain(clean(batch.name.as_str())),
        cell(word, style),
        bar(theme, batch, BAR),
        counts(theme, batch),
        cell(
            short_count(failed),
            if failed > 0 { theme.task(TaskState::Failed) } else { Style::new() },
        ),
        plain(batch.remaining_seconds.map_or_else(|| "-".to_owned(), span)),
        workers,
        plain(format!("{}/{}", batch.slots.taken, batch.slots.total)),
        plain(format!("{:.1}", batch.throughput)),
        plain(mean),
        plain(median),
        plain(if recruiters == 0 { "-".to_owned() } else { recruiters.to_string() }),
    ]
}

/// Counts of the states that occur.
fn counts(theme: Theme, batch: &BatchView) -> Cell {
    let mut parts = Vec::new();
    for state in TaskState::iter() {
        let count = of(batch, state);
        if count > 0 {
            let gap = if parts.is_empty() { "" } else { " " };
            parts.push((
                format!("{gap}{}{}", task_glyph(state), short_count(count)),
                theme.task(state),
            ));
        }
    }
    if parts.is_empty() {
        parts.push(("none".to_owned(), theme.tone(Tone::Faint)));
    }
    parts
}

/// All states as a bar, failed first; each that occurs is at least one cell.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "cells of a bar"
)]
pub fn bar(theme: Theme, batch: &BatchView, width: usize) -> Cell {
    const ORDER: [TaskState; 8] = [
        TaskState::Failed,
        TaskState::Succeeded,
        TaskState::Paused,
        TaskState::Running,
        TaskState::Accepted,
        TaskState::Assigned,
        TaskState::Pending,
        TaskState::Waiting,
    ];
    let total = total(batch);
    if total == 0 {
        return cell("·".repeat(width), theme.tone(Tone::Faint));
    }
    let mut parts = Vec::new();
    let mut left = width;
    for (place, state) in ORDER.into_iter().enumerate() {
        let count = of(batch, state);
        if count == 0 || left == 0 {
            continue;
        }
        let later = ORDER.iter().skip(place + 1).filter(|state| of(batch, **state) > 0).count();
        let share = (count as f64 / total as f64 * width as f64).round() as usize;
        let most = left.saturating_sub(later).max(1);
        let cells = if later == 0 { left } else { share.clamp(1, most) };
        let glyph = match state {
            TaskState::Failed | TaskState::Succeeded => "█",
            TaskState::Running | TaskState::Paused => "▓",
            TaskState::Accepted | TaskState::Assigned => "▒",
            TaskState::Pending | TaskState::Waiting => "░",
        };
        parts.push((glyph.repeat(cells), theme.task(state)));
        left -= cells.min(left);
    }
    parts
}

fn of(batch: &BatchView, state: TaskState) -> u64 {
    batch.tasks.get(&state).copied().unwrap_or(0)
}

fn total(batch: &BatchView) -> u64 {
    batch.tasks.values().sum()
}

#[expect(clippy::cast_precision_loss, reason = "a share of a bar")]
fn progress(batch: &BatchView) -> f64 {
    let done = of(batch, TaskState::Succeeded) + of(batch, TaskState::Failed);
    done as f64 / total(batch).max(1) as f64
}

fn mean(batch: &BatchView) -> f64 {
    batch.runtime.as_ref().map_or(-1.0, |runtime| runtime.mean)
}

fn p95(batch: &BatchView) -> f64 {
    batch.runtime.as_ref().map_or(-1.0, |runtime| runtime.percentile_95)
}
