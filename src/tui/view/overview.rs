//! The one screen to leave open.

use strum::IntoEnumIterator;

use super::batches::bar;
use super::canvas::Canvas;
use super::tasks::state_word;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;
use crate::tui::state::State;
use crate::tui::text::{bytes, clean, count, pad, pad_left, short_count, sparkline};
use crate::tui::theme::{Tone, worker_glyph};

/// Minutes in the chart.
const MINUTES: usize = 60;

/// Seconds of a column of the chart.
const STEP: f64 = 60.0;

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let mut y = 0;
    draw_rates(canvas, state, &mut y);
    draw_workers(canvas, state, &mut y);
    draw_server(canvas, state, &mut y);
    y += 1;
    draw_batches(canvas, state, &mut y);
    y += 1;
    draw_failures(canvas, state, &mut y);
}

/// Tasks that ended in each of the last minutes, the latest last: succeeded
/// and failed ones.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "counts of a minute, and columns of a chart"
)]
pub fn per_minute(state: &State, columns: usize) -> (Vec<f64>, Vec<f64>) {
    let mut succeeded = vec![0.0; columns];
    let mut failed = vec![0.0; columns];
    let now = state.now.monotonic;
    for (before, after) in state.markers.iter().zip(state.markers.iter().skip(1)) {
        let age = now.since(after.at).as_secs_f64() / STEP;
        let Some(column) = columns.checked_sub(1 + age as usize) else { continue };
        // Deleted tasks take counts away: that is no work undone.
        succeeded[column] += after.succeeded.saturating_sub(before.succeeded) as f64;
        failed[column] += after.failed.saturating_sub(before.failed) as f64;
    }
    (succeeded, failed)
}

fn draw_rates(canvas: &mut Canvas<'_>, state: &State, y: &mut usize) {
    let columns = canvas.width().saturating_sub(34).clamp(10, MINUTES);
    let (succeeded, failed) = per_minute(state, columns);
    let rows = [
        ("finished", &succeeded, canvas.theme.task(TaskState::Succeeded)),
        ("failed", &failed, canvas.theme.task(TaskState::Failed)),
    ];
    for (name, figures, style) in rows {
        let now = figures.last().copied().unwrap_or(0.0);
        let label = format!("{} {}/min ", pad(name, 10), pad_left(&format!("{now:.0}"), 6));
        let x = canvas.text(0, *y, &label, style);
        canvas.text(x, *y, &sparkline(figures, None), style);
        *y += 1;
    }
}

fn draw_workers(canvas: &mut Canvas<'_>, state: &State, y: &mut usize) {
    let workers = state.workers.list.all.as_deref().unwrap_or_default();
    let faint = canvas.tone(Tone::Faint);
    let mut x = canvas.text(0, *y, &pad("workers", 11), faint);
    if workers.is_empty() {
        x = canvas.text(x, *y, "none  ", faint);
    }
    for worker_state in WorkerState::iter() {
        let count = workers.iter().filter(|worker| worker.state == worker_state).count();
        if count > 0 {
            let text = format!("{} {worker_state} {count}  ", worker_glyph(worker_state));
            let style = canvas.theme.worker(worker_state);
            x = canvas.text(x, *y, &text, style);
        }
    }
    let taken: u64 = workers.iter().map(|worker| worker.slots.taken).sum();
    let total: u64 = workers.iter().map(|worker| worker.slots.total).sum();
    canvas.text(x, *y, &format!("slots {taken}/{total}"), ratatui::style::Style::new());
    *y += 1;
    canvas.text(0, *y, &pad("spending", 11), faint);
    canvas.text(11, *y, "nothing: no provider is configured", faint);
    *y += 1;
}

fn draw_server(canvas: &mut Canvas<'_>, state: &State, y: &mut usize) {
    let faint = canvas.tone(Tone::Faint);
    let Some(server) = &state.server else { return };
    canvas.text(0, *y, &pad("disk", 11), faint);
    let text = format!(
        "database {}, output {}, free {}",
        bytes(server.database_bytes),
        bytes(server.output_bytes),
        bytes(server.disk_free_bytes)
    );
    canvas.text(11, *y, &text, ratatui::style::Style::new());
    *y += 1;
    if let Some(shortage) = &server.shortage {
        let bad = canvas.tone(Tone::Bad);
        canvas.text(0, *y, &format!("new tasks are refused: {}", clean(shortage)), bad);
        *y += 1;
    }
    if let Some(failure) = &server.commit_failure {
        let bad = canvas.tone(Tone::Bad);
        canvas.text(0, *y, &format!("changes are refused: {}", clean(failure)), bad);
        *y += 1;
    }
}

fn draw_batches(canvas: &mut Canvas<'_>, state: &State, y: &mut usize) {
    let title = canvas.tone(Tone::Title);
    canvas.text(0, *y, "queues", title);
    *y += 1;
    let mut batches: Vec<_> = state.batches.list.all.iter().flatten().collect();
    let queue = |batch: &crate::api::batch::BatchView| -> u64 {
        [TaskState::Waiting, TaskState::Pending, TaskState::Assigned, TaskState::Accepted]
            .iter()
            .filter_map(|state| batch.tasks.get(state))
            .sum()
    };
    batches.sort_by_key(|batch| std::cmp::Reverse(queue(batch)));
    let room = canvas.height().saturating_sub(*y + 4).max(2) / 2;
    let wide = (canvas.width() / 4).clamp(10, 30);
    for batch in batches.iter().take(room) {
        let running = batch.tasks.get(&TaskState::Running).copied().unwrap_or(0);
        let name = pad(&clean(batch.name.as_str()), 20);
        let x = canvas.text(0, *y, &format!("{name} "), ratatui::style::Style::new());
        let parts = bar(canvas.theme, batch, wide);
        let x = canvas.parts(x, *y, &parts);
        let text = format!(
            " {} queued, {} running, {:.1}/min",
            short_count(queue(batch)),
            short_count(running),
            batch.throughput
        );
        canvas.text(x, *y, &text, ratatui::style::Style::new());
        *y += 1;
    }
    if batches.len() > room {
        let faint = canvas.tone(Tone::Faint);
        canvas.text(0, *y, &format!("and {} more", count((batches.len() - room) as u64)), faint);
        *y += 1;
    }
}

fn draw_failures(canvas: &mut Canvas<'_>, state: &State, y: &mut usize) {
    let title = canvas.tone(Tone::Title);
    let faint = canvas.tone(Tone::Faint);
    canvas.text(0, *y, "last failures", title);
    *y += 1;
    match &state.failures {
        None => {
            canvas.text(0, *y, "reading …", faint);
        }
        Some(failures) if failures.is_empty() => {
            canvas.text(0, *y, "none", faint);
        }
        Some(failures) => {
            for (task, line) in failures {
                if *y >= canvas.height() {
                    break;
                }
                let style = canvas.theme.task(TaskState::Failed);
                let head = format!("{} {} ", pad_left(&task.id.to_string(), 7), state_word(task));
                let x = canvas.text(0, *y, &head, style);
                let name = task.name.as_deref().unwrap_or(&task.command);
                let shown = pad(&clean(name), 24);
                let x = canvas.text(x, *y, &format!("{shown} "), ratatui::style::Style::new());
                let reason = if line.is_empty() {
                    task.failure_reason.as_deref().unwrap_or_default()
                } else {
                    line
                };
                let warning = canvas.tone(Tone::Warning);
                canvas.text(x, *y, &clean(reason), warning);
                *y += 1;
            }
        }
    }
}
