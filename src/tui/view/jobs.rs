//! Jobs and recruiters.

use std::cmp::Ordering;

use super::canvas::Canvas;
use super::lists::sheet;
use super::recruit::NO_PROVIDER;
use super::table::{self, Cell, Column, Row, cell, plain};
use crate::api::hiring::{JobView, RecruiterView};
use crate::domain::job::JobState;
use crate::domain::recruiter::Sizing;
use crate::domain::task::TaskState;
use crate::tui::state::{Item, JobLogView, List, State};
use crate::tui::text::{clean, clock, fit, natural_cmp, width, wrap};
use crate::tui::theme::{Theme, Tone};

/// How two jobs compare by one column.
type Compare = fn(&JobView, &JobView) -> Ordering;

/// The columns by which one can sort.
pub const ORDER: [(&str, Compare); 6] = [
    ("age", |a, b| b.id.cmp(&a.id)),
    ("action", |a, b| a.action.to_string().cmp(&b.action.to_string())),
    ("target", |a, b| natural_cmp(&a.target, &b.target)),
    ("state", |a, b| a.state.cmp(&b.state)),
    ("progress", |a, b| a.progress.cmp(&b.progress)),
    ("log", |a, b| a.line.cmp(&b.line)),
];

pub const JOBS: [Column; 6] = [
    Column::right("age", 6, 8),
    Column::left("action", 8, 10).fixed(),
    Column::left("target", 10, 24),
    Column::left("state", 11, 11),
    Column::left("progress", 12, 20),
    Column::left("log", 10, 60).growing(),
];

pub const RECRUITERS: [Column; 9] = [
    Column::left("batch", 8, 20).fixed(),
    Column::right("rank", 4, 4),
    Column::left("flavor", 10, 30).growing(),
    Column::left("region", 8, 12),
    Column::left("provider", 8, 12),
    Column::right("concurrency", 11, 14),
    Column::right("tasks/worker", 12, 12),
    Column::right("workers", 7, 9),
    Column::right("most", 4, 7),
];

/// Cells of a progress bar.
const BAR: usize = 12;

pub fn draw_jobs(canvas: &mut Canvas<'_>, state: &State) {
    let none = "no jobs: machines that are created, set up or destroyed would be here";
    draw(canvas, state, state.jobs.all.as_ref().map(Vec::len), none);
}

pub fn draw_recruiters(canvas: &mut Canvas<'_>, state: &State) {
    let none = "no recruiters: they hire workers for a batch while it has tasks";
    draw(canvas, state, state.recruiters.all.as_ref().map(Vec::len), none);
}

fn draw(canvas: &mut Canvas<'_>, state: &State, all: Option<usize>, none: &str) {
    let Some(sheet) = sheet(state) else { return };
    table::draw(canvas, sheet.columns, &sheet.rows, &sheet.placed, sheet.sorted);
    if !sheet.rows.is_empty() {
        return;
    }
    let (faint, warning) = (canvas.tone(Tone::Faint), canvas.tone(Tone::Warning));
    let text = match all {
        None => "reading …",
        Some(0) => none,
        Some(_) => "the filter lets nothing through",
    };
    canvas.text(2, 2, text, faint);
    if all == Some(0) && state.flavors.is_empty() {
        for (line, text) in wrap(NO_PROVIDER, canvas.width().saturating_sub(4)).iter().enumerate() {
            canvas.text(2, 3 + line, text, warning);
        }
    }
}

/// The last jobs in a few lines below the workers.
pub fn draw_below(canvas: &mut Canvas<'_>, state: &State) {
    let (accent, faint) = (canvas.tone(Tone::Accent), canvas.tone(Tone::Faint));
    let title = "── 4 jobs ";
    let rest = "─".repeat(canvas.width().saturating_sub(width(title)));
    canvas.text(0, 0, &format!("{title}{rest}"), accent);
    let jobs = state.jobs.all.as_deref().unwrap_or_default();
    // What is under way is shown before what has ended.
    let mut shown: Vec<&JobView> = jobs.iter().filter(|job| !job.state.is_final()).collect();
    shown.extend(jobs.iter().rev().filter(|job| job.state.is_final()));
    let lines = canvas.height().saturating_sub(1);
    for (line, job) in shown.iter().take(lines).enumerate() {
        let mut parts = vec![(
            format!("  {} {} ", job.action, clean(&job.target)),
            ratatui::style::Style::new(),
        )];
        parts.extend(state_cell(state.theme, job));
        parts.push((" ".to_owned(), faint));
        parts.extend(progress_cell(state.theme, job));
        parts.push((format!(" {}", clean(line_of(job))), faint));
        canvas.parts(0, 1 + line, &parts);
    }
    if shown.is_empty() {
        canvas.text(2, 1, "no jobs", faint);
        if state.flavors.is_empty() {
            let warning = canvas.tone(Tone::Warning);
            let wide = canvas.width().saturating_sub(4);
            canvas.text(2, 2, &fit(NO_PROVIDER, wide), warning);
        }
    }
}

/// The rows of jobs on screen.
#[must_use]
pub fn job_rows(state: &State) -> Vec<Row> {
    rows(&state.jobs, state.list_height(), |job| {
        vec![
            plain(clock(state.wall().seconds_since(job.created_at))),
            plain(job.action.to_string()),
            plain(clean(&job.target)),
            state_cell(state.theme, job),
            progress_cell(state.theme, job),
            plain(clean(line_of(job))),
        ]
    })
}

/// The rows of recruiters on screen.
#[must_use]
pub fn recruiter_rows(state: &State) -> Vec<Row> {
    rows(&state.recruiters, state.list_height(), cells)
}

fn rows<T: Item>(list: &List<T>, height: usize, cells: impl Fn(&T) -> Vec<Cell>) -> Vec<Row> {
    let range = list.range.map(|begin| (begin.min(list.cursor.row), begin.max(list.cursor.row)));
    list.rows()
        .enumerate()
        .skip(list.cursor.first)
        .take(height)
        .map(|(number, item)| Row {
            cells: cells(item),
            is_cursor: number == list.cursor.row,
            is_marked: list.marks.contains(&item.key())
                || range.is_some_and(|(from, to)| (from..=to).contains(&number)),
        })
        .collect()
}

fn cells(view: &RecruiterView) -> Vec<Cell> {
    let recruiter = &view.recruiter;
    let concurrency = match recruiter.concurrency {
        Sizing::Workers(count) => count.to_string(),
        Sizing::PerTask { cpu, memory } => {
            let cpu = cpu.map(|cpu| format!("{cpu} cpu"));
            let memory = memory.map(|memory| format!("{memory} GiB"));
            [cpu, memory].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
    };
    let most = recruiter.maximum_workers.map_or_else(|| "-".to_owned(), |most| most.to_string());
    vec![
        plain(clean(view.batch.as_str())),
        plain(view.rank.to_string()),
        plain(clean(&recruiter.flavor)),
        plain(clean(recruiter.region.as_deref().unwrap_or("-"))),
        plain(clean(recruiter.provider.as_deref().unwrap_or("-"))),
        plain(concurrency),
        plain(recruiter.tasks_per_worker.to_string()),
        plain(view.workers.to_string()),
        plain(most),
    ]
}

/// Why a job failed, or what it was last heard of.
fn line_of(job: &JobView) -> &str {
    job.reason.as_deref().or(job.line.as_deref()).unwrap_or_default()
}

fn state_cell(theme: Theme, job: &JobView) -> Cell {
    let (glyph, style) = match job.state {
        JobState::Pending => ("·", theme.task(TaskState::Waiting)),
        JobState::Running => ("▶", theme.tone(Tone::Warning)),
        JobState::Succeeded => ("✓", theme.task(TaskState::Succeeded)),
        JobState::Failed => ("✗", theme.task(TaskState::Failed)),
    };
    cell(format!("{glyph} {}", job.state), style)
}

fn progress_cell(theme: Theme, job: &JobView) -> Cell {
    let Some(percent) = job.progress else { return plain("") };
    let full = usize::from(percent) * BAR / 100;
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR - full.min(BAR)));
    vec![(bar, theme.tone(Tone::Warning)), (format!(" {percent} %"), theme.tone(Tone::Faint))]
}

/// The log of a job, over the screen.
pub fn draw_log(canvas: &mut Canvas<'_>, log: &JobLogView) {
    let (wide, high) = (canvas.width().clamp(20, 110), canvas.height().saturating_sub(2));
    let mut inside = canvas.boxed(wide, high, &log.title);
    let (wide, high) = (inside.width(), inside.height());
    let lines: Vec<String> =
        log.text.lines().flat_map(|line| wrap(&clean(line), wide.max(1))).collect();
    let most = lines.len().saturating_sub(high.saturating_sub(1));
    let first = log.first.unwrap_or(most).min(most);
    let shown = lines.iter().skip(first).take(high.saturating_sub(1));
    for (line, text) in shown.enumerate() {
        inside.text(0, line, text, ratatui::style::Style::new());
    }
    let foot = if log.is_complete { "the end" } else { "more is to come" };
    let faint = inside.tone(Tone::Faint);
    inside.text(0, high.saturating_sub(1), foot, faint);
}
