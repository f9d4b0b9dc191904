//! Machines that their provider takes away.

use crate::api::link::Verdict;
use crate::domain::WorkerId;
use crate::domain::execution::{ExecutionState, FailureClass, Outcome};
use crate::domain::worker::SeenState;

use super::state::{LinkId, State};
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Gives all that a worker holds to others, without using a retry, and
    /// nothing more to it. Said again, it changes nothing.
    pub(super) fn evict_worker(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        link: Option<LinkId>,
        reason: &str,
    ) -> Result<Reply, Refusal> {
        let worker = self.workers.get_mut(&id).ok_or(Refusal::NoWorker(id))?;
        if link.is_some() && worker.link != link {
            return Err(Refusal::StaleLink);
        }
        if worker.seen == SeenState::Evicted {
            return Ok(Reply::Done);
        }
        worker.seen = SeenState::Evicted;
        let batch = worker.batch;
        audit(context, "worker.evict", format!("{id} {reason}"));
        // First of all it must be nobody's choice any more.
        self.release_worker(id);
        self.record_worker(context, id);
        for execution in self.executions_of(id, ExecutionState::Pending) {
            self.take_back(context, execution, "its worker was taken away before it took it");
        }
        for state in [ExecutionState::Accepted, ExecutionState::Running] {
            for execution in self.executions_of(id, state) {
                let verdict = Verdict::Superseded;
                context.effects.push(Effect::Order { worker: id, execution, verdict });
                let why = format!("its worker was taken away: {reason}");
                let outcome = Outcome::without_run(FailureClass::Evicted, why);
                self.finish_execution(context, execution, outcome);
            }
        }
        self.after_eviction(context, id);
        self.leave_if_deleting(context, id);
        self.assign(context, batch);
        Ok(Reply::Done)
    }
}
