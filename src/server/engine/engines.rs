//! Which workers can run containers.
//!
//! A task in a container goes to a worker that has an engine, as long as its
//! batch has any such worker, be it busy or away: it waits for that one. In a
//! batch that has none it goes to whichever worker comes first, and fails there
//! with a message that says what is missing: waiting would end in silence.

use crate::domain::WorkerId;
use crate::domain::demand::Demand;

use super::state::{Batch, State};

impl State {
    /// Whether a worker may be given a task that asks for this, as far as
    /// engines are concerned.
    pub(super) fn has_engine_for(&self, id: WorkerId, demand: Demand) -> bool {
        if !demand.container {
            return true;
        }
        let Some(worker) = self.workers.get(&id) else { return false };
        worker.machine.engine.is_some()
            || self.batches.get(&worker.batch).is_some_and(|batch| batch.engines.is_empty())
    }

    /// Notes whether a worker has an engine, after it came or told anew.
    pub(super) fn note_engine(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(batch) = self.batches.get_mut(&worker.batch) else { return };
        if worker.machine.engine.is_some() {
            batch.engines.insert(id);
        } else {
            batch.forget_engine(id);
        }
    }
}

impl Batch {
    /// A worker has gone, or its engine has. After the last of them, tasks that
    /// were stuck fit on all the others, so these have to be looked at again.
    pub(super) fn forget_engine(&mut self, id: WorkerId) {
        if self.engines.remove(&id) && self.engines.is_empty() {
            self.freed.extend(self.workers.iter().copied());
        }
    }
}
