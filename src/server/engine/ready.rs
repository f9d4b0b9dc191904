//! The queue of a batch: pending tasks by what they ask of a machine.
//!
//! Tasks that ask for the same fit on the same workers, so one look at the
//! first of them answers for all. There are few such classes, however many
//! tasks there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::demand::Demand;
use crate::domain::{Monotonic, TaskId};

use super::state::Task;

/// The place of a task in a queue: higher priorities first, then older tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Reverse<i32>, TaskId);

/// Pending tasks that ask for the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Class {
    tasks: BTreeSet<Place>,
    /// Since when the first of them fits on no worker that has room, while others
    /// do. Until a worker has more room than it had, there is no need to look again.
    pub stuck_since: Option<Monotonic>,
}

/// All pending tasks of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ready {
    classes: BTreeMap<Demand, Class>,
}

impl Place {
    #[must_use]
    pub const fn of(id: TaskId, task: &Task) -> Self {
        Self(Reverse(task.priority), id)
    }

    #[must_use]
    pub const fn task(self) -> TaskId {
        self.1
    }
}

impl Class {
    /// The task that comes first.
    #[must_use]
    pub fn first(&self) -> Option<Place> {
        self.tasks.first().copied()
    }
}

impl Ready {
    pub fn insert(&mut self, id: TaskId, task: &Task) {
        self.classes.entry(task.demand).or_default().tasks.insert(Place::of(id, task));
    }

    pub fn remove(&mut self, id: TaskId, task: &Task) {
        if let Some(class) = self.classes.get_mut(&task.demand) {
            class.tasks.remove(&Place::of(id, task));
            if class.tasks.is_empty() {
                self.classes.remove(&task.demand);
            }
        }
    }

    pub fn clear(&mut self) {
        self.classes.clear();
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.values().map(|class| class.tasks.len()).sum()
    }

    #[must_use]
    pub fn contains(&self, id: TaskId, task: &Task) -> bool {
        let class = self.classes.get(&task.demand);
        class.is_some_and(|class| class.tasks.contains(&Place::of(id, task)))
    }

    /// The only class, when there is but one.
    #[must_use]
    pub fn only_class(&self) -> Option<(Demand, &Class)> {
        match self.classes.len() {
            1 => self.classes.first_key_value().map(|(demand, class)| (*demand, class)),
            _ => None,
        }
    }

    /// All classes with what their tasks ask for.
    pub fn classes(&self) -> impl Iterator<Item = (Demand, &Class)> {
        self.classes.iter().map(|(demand, class)| (*demand, class))
    }

    pub fn class_mut(&mut self, demand: Demand) -> Option<&mut Class> {
        self.classes.get_mut(&demand)
    }

    /// The class of the task that comes first of all.
    #[must_use]
    pub fn first(&self) -> Option<TaskId> {
        self.classes.values().filter_map(Class::first).min().map(Place::task)
    }

    /// How many tasks come before this one, counted up to `most`.
    #[must_use]
    pub fn count_before(&self, id: TaskId, task: &Task, most: usize) -> usize {
        let place = Place::of(id, task);
        self.classes.values().flat_map(|class| class.tasks.range(..place)).take(most).count()
    }
}
