//! The list of tasks.

use ratatui::style::{Modifier, Style};

use super::canvas::Canvas;
use super::lists::sheet;
use super::table::{self, Cell, Column, Row, Sorted, cell, plain};
use crate::api::task::{TaskSort, TaskView};
use crate::domain::execution::Phase;
use crate::domain::task::{Hold, TaskState};
use crate::tui::state::State;
use crate::tui::text::{clean, clock, moment, short_count, span};
use crate::tui::theme::{Tone, task_glyph};
use crate::tui::update::{tab, tabs};

/// The columns as they are drawn.
pub const TABLE: [Column; 11] = [
    Column::right("task", 5, 12).fixed(),
    Column::left("state", 11, 22),
    Column::left("name", 8, 24).growing().optional(),
    Column::left("command", 20, 80).growing(),
    Column::left("worker", 6, 14).optional(),
    Column::left("batch", 6, 14),
    Column::right("runtime", 7, 8),
    Column::left("stdout", 12, 60).growing().optional(),
    Column::left("stderr", 12, 60).growing().optional(),
    Column::left("started", 8, 16).optional(),
    Column::right("exec", 5, 12).optional(),
];

const SORTS: [Option<TaskSort>; 11] = [
    Some(TaskSort::Id),
    Some(TaskSort::State),
    Some(TaskSort::Name),
    None,
    Some(TaskSort::Worker),
    Some(TaskSort::Batch),
    Some(TaskSort::Runtime),
    None,
    None,
    Some(TaskSort::Started),
    None,
];

/// What the server sorts by for a column.
#[must_use]
pub fn sort_of(column: usize) -> Option<TaskSort> {
    SORTS.get(column).copied().flatten()
}

#[must_use]
pub fn sorted(state: &State) -> Option<Sorted> {
    let column = SORTS.iter().position(|sort| *sort == Some(state.tasks.sort))?;
    Some(Sorted { column, is_reversed: state.tasks.is_reversed })
}

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let Some(sheet) = sheet(state) else { return };
    table::draw(canvas, sheet.columns, &sheet.rows, &sheet.placed, sheet.sorted);
    if sheet.rows.is_empty() {
        let text: &[&str] = if !state.tasks.walk.is_loaded() {
            &["reading the tasks …"]
        } else if state.tasks.filter.is_empty() {
            &["no tasks yet", "queue one: scitq launch COMMAND"]
        } else {
            &["the filter lets no task through"]
        };
        let faint = canvas.tone(Tone::Faint);
        for (line, text) in text.iter().enumerate() {
            canvas.text(2, 2 + line, text, faint);
        }
    }
}

/// The tabs with their counts, and where each begins and ends.
fn tab_places(state: &State) -> Vec<(usize, String, Option<TaskState>)> {
    let counts = state.tasks.known_counts(state.server.as_ref().map(|server| &server.tasks));
    let of = |tab: Option<TaskState>| {
        let counts = counts?;
        Some(match tab {
            Some(state) => counts.get(&state).copied().unwrap_or(0),
            None => counts.values().sum(),
        })
    };
    let build = |names: Names| {
        let mut x = 0;
        let mut places = Vec::new();
        for tab in tabs() {
            let word = match tab {
                None => "all".to_owned(),
                Some(state) => names.name(state),
            };
            let count = of(tab).map_or_else(|| "-".to_owned(), short_count);
            let text = format!(" {word} {count}");
            let wide = crate::tui::text::width(&text);
            places.push((x, text, tab));
            x += wide;
        }
        (x, places)
    };
    let mut places = Vec::new();
    for names in [Names::Whole, Names::Short, Names::Signs] {
        let (wide, all) = build(names);
        places = all;
        if wide <= state.columns() {
            break;
        }
    }
    places
}

/// How much of a state's name there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Whole,
    Short,
    Signs,
}

impl Names {
    #[must_use]
    pub fn name(self, state: TaskState) -> String {
        let glyph = task_glyph(state);
        match self {
            Self::Whole => format!("{glyph} {state}"),
            Self::Short => format!("{glyph}{}", state.to_string().get(..4).unwrap_or_default()),
            Self::Signs => glyph.to_owned(),
        }
    }
}

/// The tabs stand where other screens have counters: they are the same.
pub fn draw_tabs(canvas: &mut Canvas<'_>, state: &State) {
    let chosen = tab(state).and_then(|number| tabs().get(number).copied());
    let mut end = 0;
    for (x, text, tab) in tab_places(state) {
        end = x + crate::tui::text::width(&text);
        let mut style = tab.map_or(Style::new(), |state| canvas.theme.task(state));
        if chosen == Some(tab) {
            style = style.add_modifier(Modifier::REVERSED);
        }
        canvas.text(x, 0, &text, style);
    }
    super::frame::draw_sparkline(canvas, state, end + 1);
}

/// The tab at a place of the line of tabs.
#[must_use]
pub fn tab_at(state: &State, x: usize) -> Option<usize> {
    tab_places(state).iter().rposition(|(begin, _, _)| *begin <= x)
}

/// The rows on screen.
#[must_use]
pub fn rows(state: &State) -> Vec<Row> {
    let list = &state.tasks;
    let range = list.range.and_then(|begin| list.walk.find(begin));
    let range = range.map(|begin| (begin.min(list.cursor.row), begin.max(list.cursor.row)));
    list.visible(state.list_height())
        .into_iter()
        .map(|(number, task)| Row {
            cells: task.map_or_else(|| vec![plain("…"), plain("")], |task| cells(state, task)),
            is_cursor: number == list.cursor.row,
            is_marked: task.is_some_and(|task| list.marks.has(task.id))
                || range.is_some_and(|(from, to)| (from..=to).contains(&number)),
        })
        .collect()
}

fn cells(state: &State, task: &TaskView) -> Vec<Cell> {
    let style = state.theme.task(task.state);
    let tails = task.execution.and_then(|id| state.tasks.tails.get(&id));
    let faint = state.theme.tone(Tone::Faint);
    vec![
        plain(task.id.to_string()),
        cell(state_word(task), style),
        plain(clean(task.name.as_deref().unwrap_or_default())),
        plain(clean(&task.command)),
        plain(clean(task.worker_name.as_deref().unwrap_or_default())),
        plain(clean(task.batch.as_str())),
        plain(runtime(state, task).unwrap_or_default()),
        plain(tails.map_or("", |tails| tails.stdout.as_str())),
        cell(tails.map_or("", |tails| tails.stderr.as_str()), state.theme.tone(Tone::Warning)),
        cell(
            task.started_at
                .map_or_else(String::new, |time| moment(time, state.wall(), &state.zone)),
            faint,
        ),
        cell(task.execution.map_or_else(String::new, |id| id.to_string()), faint),
    ]
}

/// The state with its sign, and what it means more closely.
#[must_use]
pub fn state_word(task: &TaskView) -> String {
    let more = match (task.state, task.phase, task.hold, task.failure) {
        (TaskState::Accepted, Some(phase), _, _) => phase.to_string(),
        (TaskState::Running, Some(Phase::Uploading), _, _) => "uploading".to_owned(),
        (TaskState::Paused, _, Hold::Batch, _) => "by batch".to_owned(),
        (TaskState::Failed, _, _, Some(class)) => match (task.exit_code, task.signal) {
            (Some(code), _) if code != 0 => format!("{class} {code}"),
            (_, Some(signal)) => format!("{class} {signal}"),
            _ => class.to_string(),
        },
        _ => String::new(),
    };
    let gap = if more.is_empty() { "" } else { " " };
    format!("{} {}{gap}{more}", task_glyph(task.state), task.state)
}

/// How long the command has run, as a clock while it does.
#[must_use]
pub fn runtime(state: &State, task: &TaskView) -> Option<String> {
    let started = task.started_at?;
    match task.finished_at {
        Some(finished) => Some(span(finished.seconds_since(started))),
        None if task.state.may_be_active() => Some(clock(state.wall().seconds_since(started))),
        None => None,
    }
}
