//! Clicks and the wheel.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::{commands, navigate, tasks};
use crate::tui::effect::Effect;
use crate::tui::keymap::Command;
use crate::tui::state::{Direction, Screen, State};
use crate::tui::view;

/// Rows that one notch of the wheel moves.
const NOTCH: usize = 3;

/// The lines of the screen with the tabs and with the heading of a list.
const TABS: usize = 1;
const HEADING: usize = 2;

pub(super) fn on_mouse(state: &mut State, event: MouseEvent, effects: &mut Vec<Effect>) {
    if state.popup.is_some() {
        return;
    }
    match event.kind {
        MouseEventKind::ScrollUp => repeat(state, Command::Up),
        MouseEventKind::ScrollDown => repeat(state, Command::Down),
        MouseEventKind::Down(MouseButton::Left) => click(state, event, effects),
        _ => {}
    }
}

fn repeat(state: &mut State, command: Command) {
    for _ in 0..NOTCH {
        navigate::move_cursor(state, command);
    }
}

/// A row is chosen by a click, and opened by one on the chosen row; a heading
/// sorts, a tab is turned to.
fn click(state: &mut State, event: MouseEvent, effects: &mut Vec<Effect>) {
    let (x, y) = (usize::from(event.column), usize::from(event.row));
    if state.screen == Screen::Tasks && y == TABS {
        if let Some(tab) = view::tasks::tab_at(state, x) {
            tasks::choose_tab(state, tab);
        }
    } else if y == HEADING {
        if let Some(column) = view::column_at(state, x) {
            sort_by(state, column);
        }
    } else if y > HEADING && y <= HEADING + state.list_height() {
        let line = y - HEADING - 1;
        if choose(state, line) {
            commands::run(state, Command::Open, effects);
        }
    }
}

fn sort_by(state: &mut State, column: usize) {
    if state.screen == Screen::Tasks {
        if let Some(sort) = view::tasks::sort_of(column) {
            let is_reversed = state.tasks.sort == sort && !state.tasks.is_reversed;
            state.tasks.set_sort(sort, is_reversed);
        }
    } else if let Some(column) = view::sort_column(state.screen, column) {
        commands::sort_list(state, column);
    }
}

/// Puts the cursor on a line. Whether it was there before.
fn choose(state: &mut State, line: usize) -> bool {
    let height = state.list_height();
    match state.screen {
        Screen::Tasks => {
            let rows = state.tasks.visible(height);
            let Some((row, _)) = rows.get(line) else { return false };
            let row = *row;
            let was = state.tasks.cursor.row == row;
            let step = i64::try_from(row).unwrap_or(0)
                - i64::try_from(state.tasks.cursor.row).unwrap_or(0);
            let down = match state.tasks.walk.direction {
                Direction::FromTop => step,
                Direction::FromBottom => -step,
            };
            state.tasks.move_by(down, height);
            was
        }
        Screen::Workers => {
            let row = state.workers.list.cursor.first + line;
            let was = state.workers.list.cursor.row == row;
            if row < state.workers.list.len() {
                state.workers.list.move_to(row, height);
            }
            was
        }
        Screen::Batches => {
            let row = state.batches.list.cursor.first + line;
            let was = state.batches.list.cursor.row == row;
            if row < state.batches.list.len() {
                state.batches.list.move_to(row, height);
            }
            was
        }
        Screen::Jobs => {
            let row = state.jobs.cursor.first + line;
            let was = state.jobs.cursor.row == row;
            if row < state.jobs.len() {
                state.jobs.move_to(row, height);
            }
            was
        }
        _ => false,
    }
}
