//! From screen to screen, and up and down on each.

use super::{log, tasks};
use crate::domain::TaskId;
use crate::domain::filter::Filter;
use crate::tui::effect::Effect;
use crate::tui::keymap::Command;
use crate::tui::state::{Place, Screen, Source, State};

/// Columns that one step to the side moves text.
const SIDE: usize = 8;

/// Goes to a screen of the first level.
pub(super) fn show(state: &mut State, screen: Screen) {
    state.trail.clear();
    enter(state, screen);
}

/// Goes to a screen from which one comes back here.
pub(super) fn drill(state: &mut State, screen: Screen) {
    state
        .trail
        .push(Place { screen: state.screen, task_filter: state.tasks.filter.text().to_owned() });
    enter(state, screen);
}

pub(super) fn back(state: &mut State, effects: &mut Vec<Effect>) {
    if state.screen == Screen::Output {
        effects.push(Effect::CancelFollow);
        state.log = None;
    }
    if let Some(place) = state.trail.pop() {
        if place.task_filter != state.tasks.filter.text() {
            tasks::set_filter(state, Filter::parse(&place.task_filter).unwrap_or_default());
        }
        enter(state, place.screen);
    }
}

fn enter(state: &mut State, screen: Screen) {
    state.screen = screen;
    for source in match screen {
        Screen::Workers => &[Source::Workers, Source::Jobs][..],
        Screen::Tasks => &[Source::Tasks, Source::Counts, Source::Tails],
        Screen::Batches => &[Source::Batches, Source::Recruiters],
        Screen::Overview => &[Source::Workers, Source::Batches, Source::Failures],
        Screen::Task => &[Source::Detail],
        Screen::Jobs => &[Source::Jobs],
        Screen::Recruiters => &[Source::Recruiters],
        Screen::Output => &[],
    } {
        state.feeds.mark(*source);
    }
    let height = state.list_height();
    state.tasks.settle(height);
}

/// Opens all about one task.
pub(super) fn open_task(state: &mut State, id: TaskId) {
    if state.detail.task != Some(id) {
        state.detail = crate::tui::state::DetailScreen {
            task: Some(id),
            ..crate::tui::state::DetailScreen::default()
        };
    }
    drill(state, Screen::Task);
}

/// Shows the tasks of one batch or worker.
pub(super) fn open_tasks(state: &mut State, filter: &str) {
    let filter = Filter::parse(filter).unwrap_or_default();
    drill(state, Screen::Tasks);
    tasks::set_filter(state, filter);
}

pub(super) fn move_cursor(state: &mut State, command: Command) {
    let height = state.list_height();
    let page = i64::try_from(height.saturating_sub(1).max(1)).unwrap_or(1);
    let step = match command {
        Command::Up => -1,
        Command::Down => 1,
        Command::PageUp => -page,
        Command::PageDown => page,
        _ => 0,
    };
    match state.screen {
        Screen::Tasks => match command {
            Command::Top => state.tasks.go_to_top(height),
            Command::Bottom => state.tasks.go_to_bottom(height),
            Command::Left => state.tasks.shift = state.tasks.shift.saturating_sub(1),
            Command::Right => state.tasks.shift += 1,
            _ => state.tasks.move_by(step, height),
        },
        Screen::Workers => {
            let list = &mut state.workers.list;
            list.shift = shifted(list.shift, command);
            let row = moved(list.cursor.row, step, command, list.len());
            list.move_to(row, height);
        }
        Screen::Batches => {
            let list = &mut state.batches.list;
            list.shift = shifted(list.shift, command);
            let row = moved(list.cursor.row, step, command, list.len());
            list.move_to(row, height);
        }
        Screen::Task => move_detail(state, command, step),
        Screen::Output => log::move_view(state, command, step, SIDE),
        Screen::Jobs => {
            let list = &mut state.jobs;
            list.shift = shifted(list.shift, command);
            let row = moved(list.cursor.row, step, command, list.len());
            list.move_to(row, height);
        }
        Screen::Recruiters => {
            let list = &mut state.recruiters;
            list.shift = shifted(list.shift, command);
            let row = moved(list.cursor.row, step, command, list.len());
            list.move_to(row, height);
        }
        Screen::Overview => {}
    }
    let most = crate::tui::view::most_shift(state);
    state.tasks.shift = state.tasks.shift.min(most);
    state.workers.list.shift = state.workers.list.shift.min(most);
    state.batches.list.shift = state.batches.list.shift.min(most);
    state.jobs.shift = state.jobs.shift.min(most);
    state.recruiters.shift = state.recruiters.shift.min(most);
}

fn shifted(shift: usize, command: Command) -> usize {
    match command {
        Command::Left => shift.saturating_sub(1),
        Command::Right => shift + 1,
        _ => shift,
    }
}

fn moved(row: usize, step: i64, command: Command, rows: usize) -> usize {
    match command {
        Command::Top => 0,
        Command::Bottom => rows.saturating_sub(1),
        _ if step < 0 => row.saturating_sub(usize::try_from(-step).unwrap_or(0)),
        _ => row + usize::try_from(step).unwrap_or(0),
    }
}

fn move_detail(state: &mut State, command: Command, step: i64) {
    let executions = state.detail.detail.as_ref().map_or(0, |detail| detail.executions.len());
    let lines = crate::tui::view::detail::line_count(state);
    let most = lines.saturating_sub(state.body_height());
    let detail = &mut state.detail;
    match command {
        Command::Left => detail.execution = detail.execution.saturating_sub(1),
        Command::Right => {
            detail.execution = (detail.execution + 1).min(executions.saturating_sub(1));
        }
        _ => detail.offset = moved(detail.offset, step, command, lines).min(most),
    }
}
