//! A way through the server's pages of tasks, from one end.
//!
//! The server pages by keyset: each page says where the next one begins. So
//! there is no jump into the middle, but there are two ends, and from either
//! one walks page by page. Rows are counted from the end where the walk began;
//! only rows near the screen are kept, of the others the places where their
//! pages begin.

use crate::api::task::TaskView;
use crate::domain::TaskId;

/// Rows that one page asks for.
pub const PAGE: u32 = 100;

/// Pages whose rows are kept on each side of the screen.
const NEAR: usize = 3;

/// From which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    FromTop,
    FromBottom,
}

/// One page on the way.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Where it begins; none for the first.
    pub cursor: Option<String>,
    /// Its rows that the filter lets through, once they were read.
    pub len: Option<usize>,
    /// The rows, while they are near the screen.
    pub rows: Option<Vec<TaskView>>,
}

#[derive(Debug, Clone)]
pub struct Walk {
    pub direction: Direction,
    pub pages: Vec<Page>,
    /// The last page has been read.
    pub is_whole: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self::new(Direction::FromTop)
    }
}

impl Walk {
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self { direction, pages: vec![Page::default()], is_whole: false }
    }

    /// Rows that the way has passed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pages.iter().filter_map(|page| page.len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the first page is here.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.pages.first().is_some_and(|page| page.len.is_some())
    }

    /// The page of a row, and the row's place in it.
    #[must_use]
    pub fn place(&self, row: usize) -> Option<(usize, usize)> {
        let mut before = 0;
        for (number, page) in self.pages.iter().enumerate() {
            let len = page.len?;
            if row < before + len {
                return Some((number, row - before));
            }
            before += len;
        }
        None
    }

    #[must_use]
    pub fn row(&self, row: usize) -> Option<&TaskView> {
        let (page, place) = self.place(row)?;
        self.pages.get(page)?.rows.as_ref()?.get(place)
    }

    /// The row of a task, where its page is kept.
    #[must_use]
    pub fn find(&self, id: TaskId) -> Option<usize> {
        let mut before = 0;
        for page in &self.pages {
            if let Some(rows) = &page.rows
                && let Some(place) = rows.iter().position(|task| task.id == id)
            {
                return Some(before + place);
            }
            before += page.len?;
        }
        None
    }

    /// A row that is kept, to be changed in place.
    pub fn find_mut(&mut self, id: TaskId) -> Option<&mut TaskView> {
        let rows = self.pages.iter_mut().filter_map(|page| page.rows.as_mut());
        rows.flatten().find(|task| task.id == id)
    }

    /// Numbers of the pages on which these rows are, with those that are still
    /// to be read for them.
    #[must_use]
    pub fn pages_of(&self, first: usize, height: usize) -> Vec<usize> {
        let mut wanted = Vec::new();
        let mut before = 0;
        for (number, page) in self.pages.iter().enumerate() {
            let len = page.len.unwrap_or(0);
            // A page without rows is looked at where rows may come: else a list that
            // is empty would stay so.
            let is_empty_here = len == 0 && before == first;
            let is_seen = before < first + height && (before + len > first || is_empty_here);
            let is_next = page.len.is_none() && before <= first + height;
            if is_seen || is_next {
                wanted.push(number);
            }
            before += len;
        }
        wanted
    }

    /// Takes a page that was read. `next` is where the one behind it begins.
    pub fn take(
        &mut self,
        number: usize,
        cursor: Option<&str>,
        rows: Vec<TaskView>,
        next: Option<String>,
    ) {
        let Some(page) = self.pages.get_mut(number) else { return };
        if page.cursor.as_deref() != cursor {
            // The way has changed since it was asked for.
            return;
        }
        page.len = Some(rows.len());
        page.rows = Some(rows);
        let follows_as_before =
            self.pages.get(number + 1).is_some_and(|page| page.cursor == next && next.is_some());
        if follows_as_before {
            return;
        }
        // Rows came or went in this page: what is behind it is read anew.
        self.pages.truncate(number + 1);
        self.is_whole = next.is_none();
        if next.is_some() {
            self.pages.push(Page { cursor: next, ..Page::default() });
        }
    }

    /// Lets go of rows that are far from these.
    pub fn forget_far(&mut self, first: usize, height: usize) {
        let near = self.pages_of(first, height);
        let (Some(low), Some(high)) = (near.first(), near.last()) else { return };
        for (number, page) in self.pages.iter_mut().enumerate() {
            if number + NEAR < *low || number > *high + NEAR {
                page.rows = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::testing::task;

    fn rows(ids: std::ops::Range<u64>) -> Vec<TaskView> {
        ids.map(task).collect()
    }

    #[test]
    fn rows_are_counted_over_pages_of_any_length() {
        let mut walk = Walk::new(Direction::FromTop);
        assert_eq!(walk.pages_of(0, 20), [0]);
        walk.take(0, None, rows(1..1), None);
        assert_eq!(walk.pages_of(0, 20), [0], "an empty list is looked at again");
        walk.take(0, None, rows(1..11), Some("10".into()));
        assert_eq!(walk.pages_of(0, 20), [0, 1]);
        walk.take(1, Some("10"), rows(11..14), Some("13".into()));
        walk.take(2, Some("13"), rows(14..14), Some("20".into()));
        walk.take(3, Some("20"), rows(21..31), None);
        assert!(walk.is_whole);
        assert_eq!(walk.len(), 23);
        assert_eq!(walk.row(13).unwrap().id, TaskId(21));
        assert_eq!(walk.find(TaskId(12)), Some(11));
        assert_eq!(walk.pages_of(11, 2), [1]);
    }

    #[test]
    fn a_page_that_changed_drops_the_way_behind_it() {
        let mut walk = Walk::new(Direction::FromTop);
        walk.take(0, None, rows(1..11), Some("10".into()));
        walk.take(1, Some("10"), rows(11..21), Some("20".into()));
        walk.take(0, None, rows(1..11), Some("10".into()));
        assert_eq!(walk.len(), 20, "the same page again changes nothing");
        walk.take(0, None, rows(2..12), Some("11".into()));
        assert_eq!(walk.len(), 10);
        walk.take(1, Some("10"), rows(11..21), None);
        assert_eq!(walk.len(), 10, "an answer to an older question is dropped");
    }

    #[test]
    fn only_rows_near_the_screen_are_kept() {
        let mut walk = Walk::new(Direction::FromTop);
        for page in 0..20_u64 {
            let cursor = (page > 0).then(|| page.to_string());
            let next = Some((page + 1).to_string());
            walk.take(
                usize::try_from(page).unwrap(),
                cursor.as_deref(),
                rows(page * 10 + 1..page * 10 + 11),
                next,
            );
        }
        walk.forget_far(100, 10);
        assert!(walk.row(0).is_none() && walk.row(100).is_some());
        assert_eq!(walk.len(), 200);
        assert_eq!(walk.pages.iter().filter(|page| page.rows.is_some()).count(), 7);
    }
}
