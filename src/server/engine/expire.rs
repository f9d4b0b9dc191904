//! What happens because time has passed: leases.

use crate::domain::execution::ExecutionState;
use crate::domain::worker::SeenState;
use crate::domain::{Monotonic, Timestamp, WorkerId};

use super::Context;
use super::state::{State, Worker};

impl State {
    /// Looks at every worker's lease.
    pub(super) fn expire(&mut self, context: &mut Context<'_>) {
        let now = context.now.monotonic;
        self.see_offline(context, now);
        if !self.suspects_the_network(now) {
            for id in self.lost_workers(now) {
                for state in [ExecutionState::Accepted, ExecutionState::Running] {
                    for execution in self.executions_of(id, state) {
                        self.lose_execution(context, execution, "its worker went silent");
                    }
                }
                let batch = self.workers.get(&id).map(|worker| worker.batch);
                self.leave_if_deleting(context, id);
                self.assign_after_leaving(context, id, batch);
            }
        }
    }

    /// Renews all leases: after a start or an outage of the server nobody could
    /// have been heard.
    pub fn restart_leases(&mut self, now: Monotonic) {
        for worker in self.workers.values_mut() {
            worker.last_heard = now;
        }
    }

    /// Before which date replies need not be kept for repetitions.
    pub(super) fn forget_replies_before(&self, now: Timestamp) -> Timestamp {
        let kept = i64::try_from(self.policy.keep_replies.as_micros()).unwrap_or(i64::MAX);
        Timestamp(now.0.saturating_sub(kept))
    }

    fn see_offline(&mut self, context: &mut Context<'_>, now: Monotonic) {
        for id in self.silent_for(now, self.policy.offline_after) {
            let Some(worker) = self.workers.get_mut(&id) else { continue };
            if worker.seen == SeenState::Online {
                worker.seen = SeenState::Offline;
                self.record_worker(context, id);
            }
            // What it has not accepted it has not begun, and never will: an
            // agent starts nothing before its acceptance is acknowledged.
            for execution in self.executions_of(id, ExecutionState::Pending) {
                self.take_back(context, execution, "its worker went silent before it took it");
            }
        }
    }

    /// When more than half of four or more workers that hold work went silent
    /// within half a minute, it is a switch that failed and not the workers:
    /// nothing is given back until one of them returns.
    pub(super) fn suspects_the_network(&self, now: Monotonic) -> bool {
        const TOGETHER: std::time::Duration = std::time::Duration::from_secs(30);
        let holding: Vec<_> =
            self.workers.values().filter(|worker| !worker.executions.is_empty()).collect();
        if holding.len() < 4 {
            return false;
        }
        let mut silent: Vec<Monotonic> = holding
            .iter()
            .filter(|worker| now.since(worker.last_heard) > self.policy.offline_after)
            .map(|worker| worker.last_heard)
            .collect();
        silent.sort_unstable();
        let most_together = silent
            .iter()
            .enumerate()
            .map(|(first, start)| {
                silent[first..].iter().take_while(|heard| heard.since(*start) <= TOGETHER).count()
            })
            .max()
            .unwrap_or(0);
        most_together * 2 > holding.len()
    }

    /// Workers that were silent for longer than the leases last, as both their
    /// batch and their agent have it: a change counts once both sides go by it.
    fn lost_workers(&self, now: Monotonic) -> Vec<WorkerId> {
        let is_lost = |worker: &Worker| {
            let limits = (self.lost_after(worker.batch), worker.agent_lease);
            let (Some(ours), Some(its)) = limits else { return false };
            now.since(worker.last_heard) > ours.max(its)
        };
        self.workers.iter().filter(|(_, worker)| is_lost(worker)).map(|(id, _)| *id).collect()
    }

    fn silent_for(&self, now: Monotonic, limit: std::time::Duration) -> Vec<WorkerId> {
        self.workers
            .iter()
            .filter(|(_, worker)| now.since(worker.last_heard) > limit)
            .map(|(id, _)| *id)
            .collect()
    }
}
