//! Requests that wait for tasks to end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::domain::TaskId;

/// Who waits for which task.
#[derive(Debug, Default)]
pub struct Waits {
    waiting: Mutex<FxHashMap<TaskId, Vec<Arc<Group>>>>,
}

/// One request that waits for some tasks. Stops waiting when dropped.
#[derive(Debug)]
pub struct Wait {
    waits: Arc<Waits>,
    ids: Vec<TaskId>,
    group: Arc<Group>,
}

#[derive(Debug)]
struct Group {
    left: AtomicUsize,
    done: Notify,
}

impl Waits {
    /// Waits for all of `ids`. Look whether some have ended already after this,
    /// and not before: then none is missed.
    #[must_use]
    pub fn register(self: &Arc<Self>, mut ids: Vec<TaskId>) -> Wait {
        ids.sort_unstable();
        ids.dedup();
        let group = Arc::new(Group { left: AtomicUsize::new(ids.len()), done: Notify::new() });
        let mut waiting = self.lock();
        for id in &ids {
            waiting.entry(*id).or_default().push(Arc::clone(&group));
        }
        drop(waiting);
        Wait { waits: Arc::clone(self), ids, group }
    }

    /// These have ended.
    pub fn on_ended(&self, ids: &[TaskId]) {
        let mut waiting = self.lock();
        if waiting.is_empty() {
            return;
        }
        for id in ids {
            for group in waiting.remove(id).unwrap_or_default() {
                group.one_less();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<TaskId, Vec<Arc<Group>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// Notes that a task was found to have ended.
    pub fn settle(&self, id: TaskId) {
        let mut waiting = self.waits.lock();
        if remove(&mut waiting, id, &self.group) {
            self.group.one_less();
        }
    }

    /// Resolves when all have ended.
    pub async fn done(&self) {
        while self.group.left.load(Ordering::Acquire) > 0 {
            self.group.done.notified().await;
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.waits.lock();
        for id in &self.ids {
            remove(&mut waiting, *id, &self.group);
        }
    }
}

impl Group {
    fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Stores a permit when nobody listens yet.
            self.done.notify_one();
        }
    }
}

/// Takes one group off a task; false when it was not on it.
fn remove(
    waiting: &mut FxHashMap<TaskId, Vec<Arc<Group>>>,
    id: TaskId,
    group: &Arc<Group>,
) -> bool {
    let Some(groups) = waiting.get_mut(&id) else { return false };
    let before = groups.len();
    groups.retain(|other| !Arc::ptr_eq(other, group));
    let found = groups.len() < before;
    if groups.is_empty() {
        waiting.remove(&id);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_with_its_last_task() {
        let waits = Arc::new(Waits::default());
        let wait = waits.register(vec![TaskId(1), TaskId(2), TaskId(3), TaskId(3)]);
        wait.settle(TaskId(1));
        wait.settle(TaskId(1));
        waits.on_ended(&[TaskId(2), TaskId(9)]);
        assert_eq!(wait.group.left.load(Ordering::Acquire), 1);
        waits.on_ended(&[TaskId(3)]);
        wait.done().await;
    }

    #[test]
    fn who_leaves_is_forgotten() {
        let waits = Arc::new(Waits::default());
        drop(waits.register(vec![TaskId(1)]));
        assert!(waits.lock().is_empty());
    }
}
