//! The list of tasks: a window into what may be millions.

use std::collections::{BTreeMap, BTreeSet};

use super::list::Cursor;
use super::walk::{Direction, Walk};
use crate::api::task::{TaskSort, TaskView};
use crate::domain::filter::Filter;
use crate::domain::task::TaskState;
use crate::domain::{ExecutionId, TaskId};

/// The last line of each stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tails {
    pub stdout: String,
    pub stderr: String,
    /// Nothing will follow.
    pub is_final: bool,
}

/// Which tasks are marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marks {
    Some(BTreeSet<TaskId>),
    /// All that the filter matches, also those that were never on screen.
    All,
}

#[derive(Debug, Clone)]
pub struct TaskScreen {
    pub filter: Filter,
    pub sort: TaskSort,
    pub is_reversed: bool,
    /// Counts up whenever something else is asked for, so that late answers are known as such.
    pub generation: u64,
    pub walk: Walk,
    /// In the walk's own count: row 0 is where it began.
    pub cursor: Cursor,
    selected: Option<TaskId>,
    /// Tasks per state for the filter without its states.
    pub counts: Option<BTreeMap<TaskState, u64>>,
    pub marks: Marks,
    pub range: Option<TaskId>,
    pub tails: BTreeMap<ExecutionId, Tails>,
    /// Pages that are under way.
    pub asked: BTreeSet<usize>,
    /// Pages whose rows may have changed.
    pub stale: bool,
    pub shift: usize,
}

impl Default for TaskScreen {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            sort: TaskSort::Id,
            is_reversed: true,
            generation: 0,
            walk: Walk::default(),
            cursor: Cursor::default(),
            selected: None,
            counts: None,
            marks: Marks::default(),
            range: None,
            tails: BTreeMap::new(),
            asked: BTreeSet::new(),
            stale: true,
            shift: 0,
        }
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Marks {
    #[must_use]
    pub fn has(&self, id: TaskId) -> bool {
        match self {
            Self::Some(ids) => ids.contains(&id),
            Self::All => true,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Some(ids) if ids.is_empty())
    }
}

impl TaskScreen {
    /// Begins anew from one end.
    pub fn restart(&mut self, direction: Direction) {
        self.generation += 1;
        self.walk = Walk::new(direction);
        self.cursor = Cursor::default();
        self.asked.clear();
        self.selected = None;
        self.stale = true;
    }

    /// Shows other tasks.
    pub fn set_filter(&mut self, filter: Filter) {
        if filter.text() != self.filter.text() {
            self.filter = filter;
            self.counts = None;
            self.marks = Marks::default();
            self.range = None;
            self.restart(Direction::FromTop);
        }
    }

    pub fn set_sort(&mut self, sort: TaskSort, is_reversed: bool) {
        self.sort = sort;
        self.is_reversed = is_reversed;
        self.restart(Direction::FromTop);
    }

    /// Tasks per state for the filter; `all` are those of the server.
    #[must_use]
    pub fn known_counts<'a>(
        &'a self,
        all: Option<&'a BTreeMap<TaskState, u64>>,
    ) -> Option<&'a BTreeMap<TaskState, u64>> {
        if self.filter.needs_counts() { self.counts.as_ref() } else { all }
    }

    /// How many tasks the filter lets through, where that is known; `all` are
    /// those of the server.
    #[must_use]
    pub fn total(&self, all: Option<&BTreeMap<TaskState, u64>>) -> Option<u64> {
        if self.walk.is_whole {
            return Some(self.walk.len() as u64);
        }
        let counts = self.known_counts(all)?;
        Some(self.filter.states().iter().filter_map(|state| counts.get(state)).sum())
    }

    #[must_use]
    pub fn current(&self) -> Option<&TaskView> {
        self.walk.row(self.cursor.row)
    }

    /// Moves so many rows down the screen, up if negative.
    pub fn move_by(&mut self, rows: i64, height: usize) {
        let forward = match self.walk.direction {
            Direction::FromTop => rows,
            Direction::FromBottom => -rows,
        };
        let row = i64::try_from(self.cursor.row).unwrap_or(i64::MAX).saturating_add(forward);
        self.cursor.row = usize::try_from(row.max(0)).unwrap_or(0);
        self.settle(height);
    }

    pub fn go_to_top(&mut self, height: usize) {
        self.go_to_end(Direction::FromTop, height);
    }

    pub fn go_to_bottom(&mut self, height: usize) {
        self.go_to_end(Direction::FromBottom, height);
    }

    fn go_to_end(&mut self, end: Direction, height: usize) {
        if self.walk.direction == end {
            self.cursor.row = 0;
        } else if self.walk.is_whole {
            self.cursor.row = self.walk.len().saturating_sub(1);
        } else {
            self.restart(end);
        }
        self.settle(height);
    }

    pub fn settle(&mut self, height: usize) {
        self.cursor.settle(self.walk.len(), height);
        if let Some(task) = self.current() {
            self.selected = Some(task.id);
        }
        self.walk.forget_far(self.cursor.first, height);
    }

    /// Puts the cursor on a task when it is there.
    pub fn select(&mut self, id: TaskId) {
        self.selected = Some(id);
    }

    /// After pages came: the cursor stays on its task. A list that is shown
    /// from its beginning goes on being shown from there.
    pub fn follow_selected(&mut self, height: usize) {
        if let Some(id) = self.selected
            && let Some(row) = self.walk.find(id)
        {
            let moved = row.abs_diff(self.cursor.row);
            if self.cursor.first > 0 {
                self.cursor.first = if row > self.cursor.row {
                    self.cursor.first + moved
                } else {
                    self.cursor.first.saturating_sub(moved)
                };
            }
            self.cursor.row = row;
        }
        self.settle(height);
    }

    /// The rows of the screen from its first line to its last.
    #[must_use]
    pub fn visible(&self, height: usize) -> Vec<(usize, Option<&TaskView>)> {
        let last = (self.cursor.first + height).min(self.walk.len());
        let rows = self.cursor.first..last;
        let with_task = |row: usize| (row, self.walk.row(row));
        match self.walk.direction {
            Direction::FromTop => rows.map(with_task).collect(),
            Direction::FromBottom => rows.rev().map(with_task).collect(),
        }
    }

    /// The number of a row from the top of the whole list, from 1, where it is known.
    #[must_use]
    pub fn number(&self, row: usize, total: Option<u64>) -> Option<u64> {
        match self.walk.direction {
            Direction::FromTop => Some(row as u64 + 1),
            Direction::FromBottom => Some(total?.saturating_sub(row as u64)),
        }
    }

    pub fn toggle_mark(&mut self) {
        let Some(id) = self.current().map(|task| task.id) else { return };
        match &mut self.marks {
            Marks::All => self.marks = Marks::Some(BTreeSet::from([id])),
            Marks::Some(ids) => {
                if !ids.remove(&id) {
                    ids.insert(id);
                }
            }
        }
    }

    /// Begins a range, or marks from its beginning to here.
    pub fn mark_range(&mut self) {
        let Some(begin) = self.range.take() else {
            self.range = self.current().map(|task| task.id);
            return;
        };
        let Some(begin) = self.walk.find(begin) else { return };
        let (from, to) = (begin.min(self.cursor.row), begin.max(self.cursor.row));
        let ids = (from..=to).filter_map(|row| self.walk.row(row)).map(|task| task.id);
        let ids: BTreeSet<TaskId> = ids.collect();
        match &mut self.marks {
            Marks::All => {}
            Marks::Some(marked) => marked.extend(ids),
        }
    }

    pub fn toggle_all(&mut self) {
        self.marks = match self.marks {
            Marks::All => Marks::default(),
            Marks::Some(_) => Marks::All,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::task;

    fn screen(ids: impl Iterator<Item = u64>, next: Option<&str>) -> TaskScreen {
        let mut screen = TaskScreen::default();
        screen.walk.take(0, None, ids.map(task).collect(), next.map(str::to_owned));
        screen.follow_selected(5);
        screen
    }

    fn shown(screen: &TaskScreen) -> Vec<u64> {
        screen.visible(5).iter().filter_map(|(_, task)| task.map(|task| task.id.0)).collect()
    }

    #[test]
    fn new_rows_at_the_top_are_seen_while_the_cursor_stays_on_its_task() {
        let mut list = screen((1..=9).rev(), None);
        list.move_by(2, 5);
        assert_eq!(list.current().unwrap().id, TaskId(7));
        list.walk.take(0, None, (1..=10).rev().map(task).collect(), None);
        list.follow_selected(5);
        assert_eq!(list.current().unwrap().id, TaskId(7));
        assert_eq!(shown(&list), [10, 9, 8, 7, 6]);
        list.move_by(4, 5);
        let before = shown(&list);
        list.walk.take(0, None, (1..=12).rev().map(task).collect(), None);
        list.follow_selected(5);
        assert_eq!(shown(&list), before, "further down nothing moves under the eyes");
    }

    #[test]
    fn the_end_of_a_long_list_is_reached_from_behind() {
        let mut list = screen((100..=199).rev(), Some("100"));
        let all = BTreeMap::from([(TaskState::Pending, 1_000)]);
        let total = list.total(Some(&all));
        list.go_to_bottom(5);
        assert_eq!(list.walk.direction, Direction::FromBottom);
        list.walk.take(0, None, (1..=100).map(task).collect(), Some("100".into()));
        list.follow_selected(5);
        assert_eq!(shown(&list), [5, 4, 3, 2, 1]);
        assert_eq!(list.number(0, total), Some(1_000));
        list.move_by(-1, 5);
        assert_eq!(list.current().unwrap().id, TaskId(2));
        list.move_by(-5, 5);
        assert_eq!(shown(&list), [7, 6, 5, 4, 3]);
        list.go_to_top(5);
        assert_eq!(list.walk.direction, Direction::FromTop);
    }
}
