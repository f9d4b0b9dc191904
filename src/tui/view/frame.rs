//! The frame around every screen: where one is, how the line to the server is,
//! counters, what was told last, keys.

use ratatui::buffer::Buffer;
use ratatui::style::{Modifier, Style};
use strum::IntoEnumIterator;

use super::canvas::Canvas;
use super::overview::per_minute;
use super::tasks::Names;
use super::{batches, detail, jobs, keybar, log, overview, popup, tasks, workers};
use crate::domain::task::TaskState;
use crate::tui::state::{Access, Marks, Screen, State, Stream, ToastKind};
use crate::tui::text::{clean, clock, count, counted, fit, short_count, sparkline, width};
use crate::tui::theme::Tone;

/// The least that a frame needs.
const LEAST: (usize, usize) = (20, 6);

/// Minutes in the sparkline of the head.
const MINUTES: usize = 12;

const FIRST_LEVEL: [(Screen, &str); 6] = [
    (Screen::Workers, "1 workers"),
    (Screen::Tasks, "2 tasks"),
    (Screen::Batches, "3 batches"),
    (Screen::Jobs, "4 jobs"),
    (Screen::Recruiters, "5 recruiters"),
    (Screen::Overview, "6 overview"),
];

/// Draws everything.
pub fn draw(state: &State, buffer: &mut Buffer) {
    let area = buffer.area;
    let mut canvas = Canvas { buffer, area, theme: state.theme };
    let (wide, high) = (canvas.width(), canvas.height());
    if wide < LEAST.0 || high < LEAST.1 {
        canvas.text(0, 0, "too small", Style::new());
        state.theme.reduce(canvas.buffer);
        return;
    }
    draw_head(&mut canvas.part(0, 0, wide, 1), state);
    if state.screen == Screen::Tasks {
        tasks::draw_tabs(&mut canvas.part(0, 1, wide, 1), state);
    } else {
        draw_counters(&mut canvas.part(0, 1, wide, 1), state);
    }
    draw_body(&mut canvas.part(0, 2, wide, high - 4), state);
    draw_status(&mut canvas.part(0, high - 2, wide, 1), state);
    keybar::draw(&mut canvas.part(0, high - 1, wide, 1), state);
    if state.popup.is_some() {
        popup::draw(&mut canvas.part(0, 1, wide, high - 2), state);
    }
    state.theme.reduce(canvas.buffer);
}

fn draw_body(canvas: &mut Canvas<'_>, state: &State) {
    match state.screen {
        Screen::Workers => workers::draw(canvas, state),
        Screen::Tasks => tasks::draw(canvas, state),
        Screen::Batches => batches::draw(canvas, state),
        Screen::Jobs => jobs::draw_jobs(canvas, state),
        Screen::Recruiters => jobs::draw_recruiters(canvas, state),
        Screen::Overview => overview::draw(canvas, state),
        Screen::Task => detail::draw(canvas, state),
        Screen::Output => log::draw(canvas, state),
    }
    if state.is_stale() {
        canvas.dim();
    }
}

/// Where one is, and how the line to the server is.
fn draw_head(canvas: &mut Canvas<'_>, state: &State) {
    let (line, tone) = connection(state);
    let version = state.server.as_ref().map_or("", |server| server.version.as_str());
    let address = state.address.trim_start_matches("http://");
    let wide = canvas.width();
    let right = if wide >= 110 {
        format!("{} {version}  {line} ", clean(address))
    } else {
        format!("{line} ")
    };
    let room = wide.saturating_sub(width(&right) + 1);
    let title = canvas.tone(Tone::Title);
    let mut left = canvas.part(0, 0, room, 1);
    if state.trail.is_empty() {
        let mut x = 0;
        for (screen, name) in FIRST_LEVEL {
            let style = if screen == state.screen {
                title.add_modifier(Modifier::REVERSED)
            } else {
                left.tone(Tone::Faint)
            };
            // Where it is narrow, the names that are not needed go first.
            let shown = if room < 64 && screen != state.screen {
                name.get(..1).unwrap_or(name)
            } else {
                name
            };
            x = left.text(x, 0, &format!(" {shown} "), style);
        }
    } else {
        left.text(1, 0, &breadcrumbs(state), title);
    }
    let style = canvas.tone(tone);
    canvas.text_right(0, &right, style);
}

fn breadcrumbs(state: &State) -> String {
    let mut crumbs: Vec<String> = state
        .trail
        .iter()
        .map(|place| match place.screen {
            Screen::Tasks if !place.task_filter.is_empty() => {
                format!("tasks {}", clean(&place.task_filter))
            }
            Screen::Task => task_crumb(state),
            screen => screen.to_string(),
        })
        .collect();
    crumbs.push(match state.screen {
        Screen::Task => task_crumb(state),
        Screen::Tasks if !state.tasks.filter.is_empty() => {
            format!("tasks {}", clean(state.tasks.filter.text()))
        }
        Screen::Output => state.log.as_ref().map_or_else(String::new, |log| {
            format!("output of task {} {}", log.task, clean(&log.title))
        }),
        screen => screen.to_string(),
    });
    crumbs.join(" › ")
}

fn task_crumb(state: &State) -> String {
    state.detail.task.map_or_else(String::new, |task| format!("task {task}"))
}

/// The line to the server in a word.
fn connection(state: &State) -> (String, Tone) {
    let silence = state.silence();
    match (state.connection.stream, &state.connection.failure, silence) {
        (Stream::Up, None, _) => ("● live".to_owned(), Tone::Good),
        (Stream::Opening, None, _) => ("◌ connecting".to_owned(), Tone::Warning),
        (Stream::Down, None, Some(_)) => ("◔ polling".to_owned(), Tone::Warning),
        (_, Some(_), Some(silence)) => {
            (format!("✗ reconnecting, stale {}", clock(silence)), Tone::Bad)
        }
        (_, _, None) => ("✗ reconnecting".to_owned(), Tone::Bad),
    }
}

/// How many tasks are in which state, and how many end in a minute.
fn draw_counters(canvas: &mut Canvas<'_>, state: &State) {
    let Some(counts) = state.server.as_ref().map(|server| &server.tasks) else {
        let faint = canvas.tone(Tone::Faint);
        let text = state.connection.failure.as_deref().unwrap_or("connecting …");
        canvas.text(1, 0, &clean(text), faint);
        return;
    };
    let of = |state: TaskState| short_count(counts.get(&state).copied().unwrap_or(0));
    let texts = |names: Names| -> Vec<(TaskState, String)> {
        TaskState::iter().map(|s| (s, format!("{} {}  ", names.name(s), of(s)))).collect()
    };
    let mut shown = Vec::new();
    for names in [Names::Whole, Names::Short, Names::Signs] {
        shown = texts(names);
        let wide: usize = shown.iter().map(|(_, text)| width(text)).sum();
        if wide < canvas.width() {
            break;
        }
    }
    let mut x = 1;
    for (task_state, text) in shown {
        let style = canvas.theme.task(task_state);
        x = canvas.text(x, 0, &text, style);
    }
    draw_sparkline(canvas, state, x);
}

/// How many tasks end in a minute, where there is room from `x` on.
pub(super) fn draw_sparkline(canvas: &mut Canvas<'_>, state: &State, x: usize) {
    let (succeeded, failed) = per_minute(state, MINUTES);
    let both: Vec<f64> = succeeded.iter().zip(&failed).map(|(a, b)| a + b).collect();
    let now = both.last().copied().unwrap_or(0.0);
    let text = format!("{} {now:.0}/min ", sparkline(&both, None));
    if x + width(&text) <= canvas.width() {
        let accent = canvas.tone(Tone::Accent);
        canvas.text_right(0, &text, accent);
    }
}

/// What was told last, or else what the list shows.
fn draw_status(canvas: &mut Canvas<'_>, state: &State) {
    if let Some(toast) = state.toasts.current(state.now.monotonic) {
        let (sign, tone) = match toast.kind {
            ToastKind::Done => ("✓", Tone::Good),
            ToastKind::Note => ("·", Tone::Accent),
            ToastKind::Failure => ("✗", Tone::Bad),
        };
        let style = canvas.tone(tone);
        canvas.text(1, 0, &format!("{sign} {}", clean(&toast.text)), style);
        return;
    }
    let faint = canvas.tone(Tone::Faint);
    if let Some(failure) = &state.connection.failure {
        let bad = canvas.tone(Tone::Bad);
        canvas.text(1, 0, &clean(failure), bad);
        return;
    }
    let (left, right) = match state.screen {
        Screen::Tasks => (task_note(state), task_rows(state)),
        Screen::Workers => (workers_note(state), list_rows(&state.workers.list)),
        Screen::Batches => (
            list_note(state.batches.list.filter.text(), state.batches.list.marks.len()),
            list_rows(&state.batches.list),
        ),
        _ => (String::new(), String::new()),
    };
    let access = if state.access == Access::ReadOnly { "read-only  " } else { "" };
    canvas.text_right(0, &format!("{access}{right} "), faint);
    let room = canvas.width().saturating_sub(width(&right) + width(access) + 3);
    let accent = canvas.tone(Tone::Accent);
    canvas.text(1, 0, &fit(&clean(&left), room), accent);
}

fn list_note(filter: &str, marks: usize) -> String {
    let mut parts = Vec::new();
    if !filter.is_empty() {
        parts.push(format!("filter {filter}"));
    }
    if marks > 0 {
        parts.push(format!("{marks} marked"));
    }
    parts.join(" · ")
}

fn workers_note(state: &State) -> String {
    let list = &state.workers.list;
    let note = list_note(list.filter.text(), list.marks.len());
    match (&state.workers.latest, note.is_empty()) {
        (None, _) => note,
        (Some(_), true) => "ok and fail: latest executions only".to_owned(),
        (Some(_), false) => format!("{note} · ok and fail: latest executions only"),
    }
}

fn task_note(state: &State) -> String {
    let mut parts = Vec::new();
    if !state.tasks.filter.is_empty() {
        parts.push(format!("filter {}", state.tasks.filter));
    }
    match &state.tasks.marks {
        Marks::All => parts.push("all marked".to_owned()),
        Marks::Some(ids) if !ids.is_empty() => parts.push(format!("{} marked", ids.len())),
        Marks::Some(_) => {}
    }
    if state.tasks.range.is_some() {
        parts.push("range: v marks up to here".to_owned());
    }
    parts.join(" · ")
}

fn task_rows(state: &State) -> String {
    let rows = state.tasks.visible(state.list_height());
    let known = state.task_total();
    let number = |row: Option<&(usize, Option<_>)>| {
        row.and_then(|(row, _)| state.tasks.number(*row, known))
            .map_or_else(|| "?".to_owned(), count)
    };
    let total = match known {
        Some(total) => count(total),
        None => format!("{} or more", count(state.tasks.walk.len() as u64)),
    };
    if rows.is_empty() {
        return if known == Some(0) { "no rows".to_owned() } else { format!("{total} rows") };
    }
    format!("rows {}-{} of {total}", number(rows.first()), number(rows.last()))
}

fn list_rows<T: crate::tui::state::Item>(list: &crate::tui::state::List<T>) -> String {
    let all = list.all.as_ref().map_or(0, Vec::len);
    let rows = counted(all as u64, "row");
    if list.len() == all { rows } else { format!("{} of {rows}", list.len()) }
}
