//! Lists that are held whole (workers, batches): filter, order, cursor, marks.

use std::collections::BTreeSet;

use crate::domain::filter::Filter;

/// A row of such a list.
pub trait Item {
    type Key: Clone + Ord;

    fn key(&self) -> Self::Key;
    fn fits(&self, filter: &Filter) -> bool;
    /// The order by one column.
    fn cmp_by(&self, other: &Self, column: usize) -> std::cmp::Ordering;
}

/// Where one is in a list: a row, and the first row on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    pub row: usize,
    pub first: usize,
}

#[derive(Debug, Clone)]
pub struct List<T: Item> {
    /// None: not read yet.
    pub all: Option<Vec<T>>,
    /// Positions in `all` of what the filter lets through, in order.
    pub order: Vec<usize>,
    pub filter: Filter,
    pub column: usize,
    pub is_reversed: bool,
    pub cursor: Cursor,
    selected: Option<T::Key>,
    pub marks: BTreeSet<T::Key>,
    /// Where a range was begun.
    pub range: Option<usize>,
    /// Columns that are scrolled away to the left.
    pub shift: usize,
}

impl Cursor {
    /// Keeps the row on the screen.
    pub fn settle(&mut self, rows: usize, height: usize) {
        self.row = self.row.min(rows.saturating_sub(1));
        let height = height.max(1);
        if self.row < self.first {
            self.first = self.row;
        } else if self.row >= self.first + height {
            self.first = self.row + 1 - height;
        }
        self.first = self.first.min(rows.saturating_sub(height));
    }
}

impl<T: Item> Default for List<T> {
    fn default() -> Self {
        Self {
            all: None,
            order: Vec::new(),
            filter: Filter::default(),
            column: 0,
            is_reversed: false,
            cursor: Cursor::default(),
            selected: None,
            marks: BTreeSet::new(),
            range: None,
            shift: 0,
        }
    }
}

impl<T: Item> List<T> {
    /// Takes new rows; the cursor stays on its row, wherever that is now.
    pub fn replace(&mut self, rows: Vec<T>) {
        let keys: BTreeSet<T::Key> = rows.iter().map(Item::key).collect();
        self.marks.retain(|key| keys.contains(key));
        self.all = Some(rows);
        self.arrange();
    }

    /// Filters and sorts anew.
    pub fn arrange(&mut self) {
        let Some(all) = &self.all else { return };
        let mut order: Vec<usize> =
            (0..all.len()).filter(|position| all[*position].fits(&self.filter)).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&all[*a], &all[*b]);
            let by_column = a.cmp_by(b, self.column);
            let by_column = if self.is_reversed { by_column.reverse() } else { by_column };
            by_column.then_with(|| a.key().cmp(&b.key()))
        });
        self.order = order;
        if let Some(selected) = &self.selected
            && let Some(row) = self.row_of(selected)
        {
            let below = self.cursor.row.saturating_sub(self.cursor.first);
            self.cursor.row = row;
            self.cursor.first = row.saturating_sub(below);
        }
        self.cursor.row = self.cursor.row.min(self.order.len().saturating_sub(1));
        self.remember();
    }

    /// What is shown, in order.
    pub fn rows(&self) -> impl Iterator<Item = &T> {
        let all = self.all.as_deref().unwrap_or_default();
        self.order.iter().filter_map(move |position| all.get(*position))
    }

    #[must_use]
    pub fn row(&self, row: usize) -> Option<&T> {
        self.all.as_ref()?.get(*self.order.get(row)?)
    }

    #[must_use]
    pub fn current(&self) -> Option<&T> {
        self.row(self.cursor.row)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The marked rows, or else the one under the cursor.
    #[must_use]
    pub fn targets(&self) -> Vec<&T> {
        if self.marks.is_empty() {
            return self.current().into_iter().collect();
        }
        self.rows().filter(|item| self.marks.contains(&item.key())).collect()
    }

    pub fn move_to(&mut self, row: usize, height: usize) {
        self.cursor.row = row;
        self.cursor.settle(self.order.len(), height);
        self.remember();
    }

    pub fn select(&mut self, key: &T::Key) {
        if let Some(row) = self.row_of(key) {
            self.cursor.row = row;
        }
        self.selected = Some(key.clone());
    }

    pub fn mark(&mut self) {
        if let Some(key) = self.current().map(Item::key)
            && !self.marks.remove(&key)
        {
            self.marks.insert(key);
        }
    }

    /// Begins a range, or marks all rows from its beginning to here.
    pub fn mark_range(&mut self) {
        match self.range.take() {
            None => self.range = Some(self.cursor.row),
            Some(begin) => {
                let (from, to) = (begin.min(self.cursor.row), begin.max(self.cursor.row));
                let keys: Vec<T::Key> =
                    self.rows().skip(from).take(to - from + 1).map(Item::key).collect();
                self.marks.extend(keys);
            }
        }
    }

    /// Marks all rows, or none if all are marked.
    pub fn mark_all(&mut self) {
        let keys: BTreeSet<T::Key> = self.rows().map(Item::key).collect();
        self.marks = if self.marks == keys { BTreeSet::new() } else { keys };
    }

    fn row_of(&self, key: &T::Key) -> Option<usize> {
        self.rows().position(|item| item.key() == *key)
    }

    fn remember(&mut self) {
        if let Some(key) = self.current().map(Item::key) {
            self.selected = Some(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone)]
    struct Row(u32, &'static str);

    impl Item for Row {
        type Key = u32;

        fn key(&self) -> u32 {
            self.0
        }

        fn fits(&self, filter: &Filter) -> bool {
            filter.is_empty() || self.1.contains(filter.text())
        }

        fn cmp_by(&self, other: &Self, _: usize) -> std::cmp::Ordering {
            self.1.cmp(other.1)
        }
    }

    #[test]
    fn the_cursor_stays_on_its_row_when_rows_move() {
        let mut list = List::default();
        list.replace(vec![Row(1, "b"), Row(2, "c")]);
        list.move_to(1, 10);
        list.replace(vec![Row(1, "b"), Row(2, "c"), Row(3, "a"), Row(4, "d")]);
        assert_eq!((list.cursor.row, list.current().unwrap().0), (2, 2));
        list.is_reversed = true;
        list.arrange();
        assert_eq!((list.cursor.row, list.current().unwrap().0), (1, 2));
        list.replace(vec![Row(1, "b")]);
        assert_eq!(list.current().unwrap().0, 1);
    }

    #[test]
    fn marks_are_of_rows_that_exist() {
        let mut list = List::default();
        list.replace(vec![Row(1, "a"), Row(2, "b"), Row(3, "c")]);
        list.mark_range();
        list.move_to(1, 10);
        list.mark_range();
        assert_eq!(list.marks, BTreeSet::from([1, 2]));
        list.replace(vec![Row(2, "b")]);
        assert_eq!(list.marks, BTreeSet::from([2]));
        assert_eq!(list.targets().len(), 1);
        list.mark_all();
        assert!(list.marks.is_empty());
    }

    #[test]
    fn the_row_of_the_cursor_is_on_the_screen() {
        let mut cursor = Cursor { row: 50, first: 0 };
        cursor.settle(100, 10);
        assert_eq!(cursor, Cursor { row: 50, first: 41 });
        cursor.settle(20, 10);
        assert_eq!(cursor, Cursor { row: 19, first: 10 });
        cursor.settle(0, 10);
        assert_eq!(cursor, Cursor { row: 0, first: 0 });
    }
}
