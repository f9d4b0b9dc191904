//! The first moments with a copy of the database.
//!
//! A database that was copied, or restored from a backup, may be older than the
//! work that its workers hold: it lacks what was given out since. Until all
//! workers that it knows have said what they hold, or were silent for so long
//! that they count as offline, nothing is given out: no task is to be run beside
//! itself. Then what they hold of tasks that are ready here is taken over.

use std::collections::BTreeSet;

use crate::domain::task::TaskLife;
use crate::domain::{ExecutionId, Monotonic, WorkerId};

use super::Context;
use super::state::{Batch, State};

/// Whom a server waits for, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    until: Monotonic,
    awaited: BTreeSet<WorkerId>,
}

impl State {
    /// Waits for the workers: the database has turned out to be a copy.
    pub fn settle(&mut self, now: Monotonic) {
        let awaited: BTreeSet<WorkerId> = self.workers.keys().copied().collect();
        if !awaited.is_empty() {
            let until = now.after(self.policy.offline_after);
            self.settling = Some(Settling { until, awaited });
        }
    }

    /// A worker has said all that it holds: its heartbeats name the orphans.
    pub(super) fn settle_with(&mut self, context: &mut Context<'_>, id: WorkerId) {
        let Some(settling) = &mut self.settling else { return };
        settling.awaited.remove(&id);
        if settling.awaited.is_empty() {
            self.end_settling(context);
        }
    }

    /// Waits no longer for workers that do not come.
    pub(super) fn settle_in_time(&mut self, context: &mut Context<'_>) {
        let now = context.now.monotonic;
        if self.settling.as_ref().is_some_and(|settling| settling.until <= now) {
            self.end_settling(context);
        }
    }

    fn end_settling(&mut self, context: &mut Context<'_>) {
        self.settling = None;
        self.take_over_orphans(context);
        self.assign_all(context);
    }

    /// Takes over what workers hold of tasks that would be given out now, so that
    /// none is run beside itself.
    pub(super) fn take_over_orphans(&mut self, context: &mut Context<'_>) {
        if self.settling.is_some() || self.orphan_holders.is_empty() {
            return;
        }
        for id in self.orphan_holders.clone() {
            let orphans = self.orphans_to_take_over(id);
            if !orphans.is_empty() {
                // Its agent is there, and has named them: this refuses nothing.
                let _ = self.adopt_orphans(context, id, &orphans);
            }
        }
    }

    /// What a worker holds of tasks that would be given out now. What was paused
    /// or has ended here is left to a person until it may go on.
    fn orphans_to_take_over(&self, id: WorkerId) -> Vec<ExecutionId> {
        let orphans = match self.workers.get(&id) {
            Some(worker) if worker.link.is_some() => worker.orphans.as_slice(),
            _ => &[],
        };
        let is_wanted = |task| {
            self.tasks.get(task).is_some_and(|task| {
                task.life == TaskLife::Pending
                    && self.batches.get(&task.batch).is_some_and(Batch::gives_out)
            })
        };
        orphans
            .iter()
            .filter(|orphan| is_wanted(&orphan.task) && self.why_not_adopted(orphan).is_none())
            .map(|orphan| orphan.execution)
            .collect()
    }
}
