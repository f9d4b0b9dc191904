//! What the lists have in common: their columns, and where these are.

use super::table::{Column, Placed, Row, Sorted};
use super::{batches, jobs, table, tasks, workers};
use crate::tui::state::{Screen, State};

/// A list as it is drawn.
#[derive(Debug)]
pub struct Sheet {
    pub columns: &'static [Column],
    pub rows: Vec<Row>,
    pub placed: Vec<Placed>,
    pub sorted: Option<Sorted>,
}

/// The list on screen.
#[must_use]
pub fn sheet(state: &State) -> Option<Sheet> {
    let (columns, rows, shift, sorted): (&'static [Column], _, _, _) = match state.screen {
        Screen::Workers => {
            let list = &state.workers.list;
            let sorted = Sorted { column: list.column, is_reversed: list.is_reversed };
            (&workers::TABLE, workers::rows(state), list.shift, Some(sorted))
        }
        Screen::Tasks => {
            (&tasks::TABLE, tasks::rows(state), state.tasks.shift, tasks::sorted(state))
        }
        Screen::Batches => {
            let list = &state.batches.list;
            let sorted = Sorted { column: list.column, is_reversed: list.is_reversed };
            (&batches::TABLE, batches::rows(state), list.shift, Some(sorted))
        }
        Screen::Jobs => {
            let list = &state.jobs;
            let sorted = Sorted { column: list.column, is_reversed: list.is_reversed };
            (&jobs::JOBS, jobs::job_rows(state), list.shift, Some(sorted))
        }
        Screen::Recruiters => {
            (&jobs::RECRUITERS, jobs::recruiter_rows(state), state.recruiters.shift, None)
        }
        _ => return None,
    };
    let placed = table::place(columns, &rows, shift, state.columns());
    Some(Sheet { columns, rows, placed, sorted })
}

/// The column of the list at a place of its heading.
#[must_use]
pub fn column_at(state: &State, x: usize) -> Option<usize> {
    let sheet = sheet(state)?;
    let found =
        sheet.placed.iter().find(|placed| (placed.x..=placed.x + placed.width).contains(&x));
    found.map(|placed| placed.column)
}

/// The number by which a whole list is sorted for one of its columns.
#[must_use]
pub fn sort_column(screen: Screen, column: usize) -> Option<usize> {
    let columns = match screen {
        Screen::Workers => workers::COLUMNS.len(),
        Screen::Batches => batches::COLUMNS.len(),
        Screen::Jobs => jobs::ORDER.len(),
        _ => 0,
    };
    (column < columns).then_some(column)
}

/// How many columns can be scrolled away.
#[must_use]
pub fn most_shift(state: &State) -> usize {
    let columns: &[Column] = match state.screen {
        Screen::Workers => &workers::TABLE,
        Screen::Tasks => &tasks::TABLE,
        Screen::Batches => &batches::TABLE,
        Screen::Jobs => &jobs::JOBS,
        Screen::Recruiters => &jobs::RECRUITERS,
        _ => return 0,
    };
    columns.iter().filter(|column| !column.is_fixed).count().saturating_sub(1)
}
