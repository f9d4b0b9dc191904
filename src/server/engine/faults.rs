//! Workers that fail one task after the other for reasons of their own are
//! taken out of service, so that one broken machine does not use up the retries
//! of a whole queue.

use crate::domain::WorkerId;
use crate::domain::execution::{ExecutionState, Failure, FailureClass};

use super::Context;
use super::state::{Execution, State};

impl State {
    /// Counts the end of an execution for its worker.
    pub(super) fn count_for_worker(&mut self, context: &mut Context<'_>, execution: &Execution) {
        let id = execution.worker;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match execution.row.state {
            ExecutionState::Succeeded => worker.succeeded += 1,
            ExecutionState::Failed => worker.failed += 1,
            _ => return,
        }
        let failure = execution.row.outcome.as_ref().and_then(|outcome| outcome.failure.as_ref());
        let is_fault = failure.is_some_and(is_fault);
        if !is_fault {
            worker.faults.clear();
        } else if worker.faults.last() != Some(&execution.row.task) {
            worker.faults.push(execution.row.task);
        }
        if worker.faults.len() >= self.policy.most_faults && worker.failure.is_none() {
            let reason = failure.map_or("", |failure| failure.reason.as_str());
            let count = worker.faults.len();
            let why = format!("failed {count} tasks in a row, the last one since {reason}");
            self.take_out_of_service(context, id, &why);
        }
        self.record_worker(context, id);
    }

    /// It takes nothing new until a person puts it back.
    fn take_out_of_service(&mut self, context: &mut Context<'_>, id: WorkerId, why: &str) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.failure = Some(why.into());
        worker.faults.clear();
        for execution in self.executions_of(id, ExecutionState::Pending) {
            self.take_back(context, execution, "its worker was taken out of service");
        }
    }

    /// A person trusts it again.
    pub(super) fn put_into_service(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.failure = None;
            worker.faults.clear();
        }
    }
}

/// Whether a failure speaks against the worker and not against the task.
const fn is_fault(failure: &Failure) -> bool {
    matches!(failure.class, FailureClass::Internal | FailureClass::Download)
}
