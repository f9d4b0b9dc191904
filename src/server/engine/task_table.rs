//! The tasks of the live state by their ids.
//!
//! Ids count up and most tasks end in the order in which they came, so the live
//! ones lie close together. Pages of neighbours take half the memory of a hash
//! table of tasks, never copy a million of them to grow, and a lookup costs the
//! same. A page that holds but one task wastes a kilobyte until that task ends.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the interface of a map, whose place it has"
)]

use rustc_hash::FxHashMap;

use crate::domain::TaskId;

use super::state::Task;

/// Neighbours in one page.
const PAGE: usize = 16;

/// Tasks by their ids.
#[derive(Debug, Default)]
pub struct TaskTable {
    pages: FxHashMap<u64, Box<Page>>,
    length: usize,
}

#[derive(Debug, Default)]
struct Page {
    tasks: [Option<Task>; PAGE],
    length: usize,
}

/// The page of a task, and its place there.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below the length of a page")]
const fn place(id: TaskId) -> (u64, usize) {
    (id.0 / PAGE as u64, (id.0 % PAGE as u64) as usize)
}

impl TaskTable {
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[must_use]
    pub fn get(&self, id: &TaskId) -> Option<&Task> {
        let (page, position) = place(*id);
        self.pages.get(&page)?.tasks.get(position)?.as_ref()
    }

    pub fn get_mut(&mut self, id: &TaskId) -> Option<&mut Task> {
        let (page, position) = place(*id);
        self.pages.get_mut(&page)?.tasks.get_mut(position)?.as_mut()
    }

    #[must_use]
    pub fn contains_key(&self, id: &TaskId) -> bool {
        self.get(id).is_some()
    }

    /// Puts a task in, and gives the one that was there.
    pub fn insert(&mut self, id: TaskId, task: Task) -> Option<Task> {
        let (page, position) = place(id);
        let page = self.pages.entry(page).or_default();
        let before = page.tasks.get_mut(position)?.replace(task);
        if before.is_none() {
            page.length += 1;
            self.length += 1;
        }
        before
    }

    /// Takes a task out.
    pub fn remove(&mut self, id: &TaskId) -> Option<Task> {
        let (number, position) = place(*id);
        let page = self.pages.get_mut(&number)?;
        let before = page.tasks.get_mut(position)?.take()?;
        page.length -= 1;
        self.length -= 1;
        if page.length == 0 {
            self.pages.remove(&number);
        }
        Some(before)
    }

    /// All tasks, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.pages.iter().flat_map(|(number, page)| {
            (number * PAGE as u64..)
                .map(TaskId)
                .zip(&page.tasks)
                .filter_map(|(id, task)| Some((id, task.as_ref()?)))
        })
    }
}

#[cfg(test)]
impl std::ops::Index<&TaskId> for TaskTable {
    type Output = Task;

    fn index(&self, id: &TaskId) -> &Task {
        self.get(id).unwrap_or_else(|| panic!("{id} is not live"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::BatchId;
    use crate::domain::demand::Demand;
    use crate::domain::task::{Hold, TaskLife};

    fn task(revision: u32) -> Task {
        Task {
            life: TaskLife::Pending,
            batch: BatchId(1),
            execution: None,
            attempts: 0,
            retry: 0,
            retries_left: 0,
            losses: 0,
            priority: 0,
            demand: Demand::default(),
            hold: Hold::No,
            revision,
            hidden: false,
        }
    }

    #[test]
    fn a_task_takes_little_memory() {
        let per_task = size_of::<Page>() / PAGE;
        assert!(per_task <= 88, "{per_task}");
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((1..60_u64, any::<bool>()), 0..200)) {
            let (mut table, mut map) = (TaskTable::default(), BTreeMap::new());
            for (revision, (id, is_insertion)) in (0..).zip(steps) {
                let id = TaskId(id);
                if is_insertion {
                    prop_assert_eq!(table.insert(id, task(revision)), map.insert(id, task(revision)));
                } else {
                    prop_assert_eq!(table.remove(&id), map.remove(&id));
                }
                prop_assert_eq!(table.get(&id), map.get(&id));
                prop_assert_eq!(table.contains_key(&id), map.contains_key(&id));
                prop_assert_eq!((table.len(), table.is_empty()), (map.len(), map.is_empty()));
            }
            let all: BTreeMap<TaskId, Task> = table.iter().map(|(id, task)| (id, *task)).collect();
            prop_assert_eq!(all, map);
        }
    }
}
