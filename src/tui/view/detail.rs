//! All about one task.

use std::fmt::Write as _;

use ratatui::style::Style;

use super::canvas::{Canvas, Part};
use super::tasks::{runtime, state_word};
use crate::api::execution::ExecutionView;
use crate::api::task::{RelatedTask, TaskDetail};
use crate::domain::execution::ExecutionState;
use crate::domain::execution::TransferProgress;
use crate::domain::task::TaskState;
use crate::tui::state::{Files, State};
use crate::tui::text::{bytes, clean, count, full_moment, moment, pad, pad_left, span, wrap};
use crate::tui::theme::{Theme, Tone, task_glyph};

/// Width of the names in front of the values.
const LABEL: usize = 14;

/// Lines of a command before it is cut.
const MOST_LINES: usize = 200;

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let height = canvas.height();
    for (line, parts) in lines(state).iter().skip(state.detail.offset).take(height).enumerate() {
        canvas.parts(0, line, parts);
    }
}

/// How many lines there are, to scroll in.
#[must_use]
pub fn line_count(state: &State) -> usize {
    lines(state).len()
}

fn lines(state: &State) -> Vec<Vec<Part>> {
    let mut page = Page { theme: state.theme, width: state.columns(), lines: Vec::new() };
    if let Some(error) = &state.detail.error {
        page.lines.push(vec![(clean(error).into_owned(), state.theme.tone(Tone::Bad))]);
    }
    match &state.detail.detail {
        Some(detail) => describe(&mut page, state, detail),
        None if state.detail.error.is_none() => page.note("reading the task …"),
        None => {}
    }
    page.lines
}

struct Page {
    theme: Theme,
    width: usize,
    lines: Vec<Vec<Part>>,
}

impl Page {
    fn field(&mut self, label: &str, value: &str, style: Style) {
        let value = clean(value).into_owned();
        let room = self.width.saturating_sub(LABEL);
        for (number, line) in wrap(&value, room).into_iter().take(MOST_LINES).enumerate() {
            self.labelled(if number == 0 { label } else { "" }, vec![(line, style)]);
        }
    }

    /// Text with its own lines.
    fn text(&mut self, label: &str, value: &str, style: Style) {
        for (number, line) in value.lines().take(MOST_LINES).enumerate() {
            self.field(if number == 0 { label } else { "" }, line, style);
        }
    }

    fn labelled(&mut self, label: &str, mut parts: Vec<Part>) {
        let mut line = vec![(pad(label, LABEL), self.theme.tone(Tone::Faint))];
        line.append(&mut parts);
        self.lines.push(line);
    }

    fn heading(&mut self, text: &str) {
        self.lines.push(Vec::new());
        self.lines.push(vec![(text.to_owned(), self.theme.tone(Tone::Title))]);
    }

    fn note(&mut self, text: &str) {
        self.lines.push(vec![(text.to_owned(), self.theme.tone(Tone::Faint))]);
    }
}

fn describe(page: &mut Page, state: &State, detail: &TaskDetail) {
    let task = &detail.task;
    let plain = Style::new();
    let mut first = vec![(state_word(task), state.theme.task(task.state))];
    let since = format!(
        "  since {}{}",
        moment(task.state_since, state.wall(), &state.zone),
        runtime(state, task).map(|time| format!(", ran {time}")).unwrap_or_default(),
    );
    first.push((since, state.theme.tone(Tone::Faint)));
    page.labelled(&format!("task {}", task.id), first);
    let phases: Vec<String> = detail
        .phases
        .iter()
        .map(|span| {
            let until = span.until.unwrap_or(state.wall());
            format!("{} {}", span.phase, crate::tui::text::span(until.seconds_since(span.from)))
        })
        .collect();
    if !phases.is_empty() {
        page.field("phases", &phases.join(", "), plain);
    }
    if let Some(why) = &detail.why {
        page.field("why not", why, state.theme.tone(Tone::Warning));
    }
    if let Some(transfer) = detail.transfer {
        page.field("moved", &progress(transfer), plain);
    }
    if let Some(reason) = &task.failure_reason {
        page.field("failure", reason, state.theme.tone(Tone::Bad));
    }
    page.text("command", &task.command, state.theme.tone(Tone::Strong));
    if let Some(name) = &task.name {
        page.field("name", name, plain);
    }
    page.field("batch", task.batch.as_str(), plain);
    if let Some(worker) = &task.worker_name {
        page.field("worker", worker, plain);
    }
    related(page, "requires", &detail.requirements);
    related(page, "required by", &detail.dependents);
    settings(page, detail);
    output_files(page, &state.detail.files);
    let queued =
        format!("{} by {}", full_moment(task.created_at, &state.zone), clean(&task.created_by));
    page.field("queued", &queued, plain);
    executions(page, state, detail);
}

/// How far data have come, and how long the rest will take.
fn progress(transfer: TransferProgress) -> String {
    let TransferProgress { bytes, total, bytes_per_second } = transfer;
    let size = crate::tui::text::bytes;
    let mut text = format!("{} of {}, {}/s", size(bytes), size(total), size(bytes_per_second));
    if bytes > 0 && total > bytes && bytes_per_second > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let left = (total - bytes) as f64 / bytes_per_second as f64;
        let _ = write!(text, ", {} left", crate::tui::text::span(left));
    }
    text
}

fn related(page: &mut Page, label: &str, tasks: &[RelatedTask]) {
    const SHOWN: usize = 12;
    if tasks.is_empty() {
        return;
    }
    let mut parts: Vec<Part> = tasks
        .iter()
        .take(SHOWN)
        .map(|task| {
            (
                format!("{}{} {}  ", task_glyph(task.state), task.id, task.state),
                page.theme.task(task.state),
            )
        })
        .collect();
    if tasks.len() > SHOWN {
        parts.push((format!("and {} more", tasks.len() - SHOWN), page.theme.tone(Tone::Faint)));
    }
    page.labelled(label, parts);
}

/// What the specification says beyond the command.
fn settings(page: &mut Page, detail: &TaskDetail) {
    let Ok(serde_json::Value::Object(spec)) = serde_json::to_value(&detail.spec) else { return };
    for (name, value) in &spec {
        if matches!(name.as_str(), "command" | "name" | "batch" | "after" | "after_any") {
            continue;
        }
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect();
                items.join(" ")
            }
            serde_json::Value::Object(pairs) => {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| {
                        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        format!("{key}={value}")
                    })
                    .collect();
                pairs.join(" ")
            }
            other => other.to_string(),
        };
        page.field(name, &text, Style::new());
    }
    if detail.spec.retry.is_some() {
        page.field("retries left", &detail.retries_left.to_string(), Style::new());
    }
}

fn output_files(page: &mut Page, files: &Files) {
    let (faint, bad) = (page.theme.tone(Tone::Faint), page.theme.tone(Tone::Warning));
    match files {
        Files::None => {}
        Files::Asked(_) => page.field("output files", "looking …", faint),
        Files::Found(_, Err(reason)) => {
            page.field("output files", &format!("cannot be listed from here: {reason}"), bad);
        }
        Files::Found(_, Ok(files)) => {
            let total = format!("{} files, {}", count(files.count), bytes(files.bytes));
            page.field("output files", &total, Style::new());
            for (name, size) in &files.some {
                let size = size.map_or_else(|| "-".to_owned(), bytes);
                page.field("", &format!("{} {name}", pad_left(&size, 10)), Style::new());
            }
            let left = files.count.saturating_sub(files.some.len() as u64);
            if left > 0 {
                page.field("", &format!("and {} more", count(left)), faint);
            }
        }
    }
}

fn executions(page: &mut Page, state: &State, detail: &TaskDetail) {
    if detail.executions.is_empty() {
        return;
    }
    let count = detail.executions.len();
    let hint =
        if count > 1 { "  (← → choose, o shows the output)" } else { "  (o shows the output)" };
    page.heading(&format!("executions: {count}{hint}"));
    for (number, execution) in detail.executions.iter().enumerate() {
        let is_chosen = number == state.detail.execution;
        let mark = if is_chosen { "▸ " } else { "  " };
        let word = match execution.phase {
            Some(phase)
                if !execution.state.is_final()
                    && phase.to_string() != execution.state.to_string() =>
            {
                format!("{} {phase}", execution.state)
            }
            _ => execution.state.to_string(),
        };
        let style = page.theme.task(match execution.state {
            ExecutionState::Pending => TaskState::Assigned,
            ExecutionState::Accepted => TaskState::Accepted,
            ExecutionState::Running => TaskState::Running,
            ExecutionState::Succeeded => TaskState::Succeeded,
            ExecutionState::Failed => TaskState::Failed,
            ExecutionState::Refused => TaskState::Waiting,
        });
        let faint = page.theme.tone(Tone::Faint);
        let at = moment(execution.assigned_at, state.wall(), &state.zone);
        page.lines.push(vec![
            (format!("{mark}attempt {} ", execution.attempt), Style::new()),
            (word, style),
            (format!(" on {} at {at}", clean(&execution.worker_name)), Style::new()),
            (format!("  execution {}", execution.id), faint),
        ]);
        if is_chosen || count == 1 {
            explain(page, execution);
        }
    }
}

fn explain(page: &mut Page, execution: &ExecutionView) {
    let indent = |text: &str| format!("  {text}");
    if let Some(outcome) = &execution.outcome {
        let mut parts = Vec::new();
        if let Some(code) = outcome.exit_code {
            parts.push(format!("exit code {code}"));
        }
        if let Some(signal) = outcome.signal {
            parts.push(format!("signal {signal}"));
        }
        if let Some(failure) = &outcome.failure {
            parts.push(format!("{}: {}", failure.class, failure.reason));
        }
        page.field(&indent("outcome"), &parts.join(", "), Style::new());
        if let Some(usage) = &outcome.usage {
            let text = format!(
                "{} in user mode, {} in the kernel, {} at the peak",
                span(usage.user_seconds),
                span(usage.system_seconds),
                bytes(usage.peak_memory_bytes),
            );
            page.field(&indent("used"), &text, Style::new());
        }
    }
    let sizes = format!(
        "stdout {}, stderr {}",
        bytes(execution.output.stdout),
        bytes(execution.output.stderr)
    );
    page.field(&indent("output"), &sizes, Style::new());
}
