//! What must always be true of the live state, numbered so that docs, tests
//! and checks speak of the same thing.

use thiserror::Error;

use crate::domain::execution::ExecutionState;
use crate::domain::task::{Hold, TaskLife, TaskState};
use crate::domain::{BatchId, ExecutionId, TaskId, WorkerId};

use super::state::{Counters, Execution, State};

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    #[error("I1: task {0} names an execution that is not live or not its own")]
    TaskWithoutExecution(TaskId),
    #[error("I2: execution {0} is live and its task does not name it")]
    ExecutionWithoutTask(ExecutionId),
    #[error("I3: the states of task {0} and its execution disagree")]
    StatesDisagree(TaskId),
    #[error("I4: worker {0} does not list exactly its live executions")]
    WorkerList(WorkerId),
    #[error("I5: worker {0} counts its held executions wrongly")]
    WorkerHeld(WorkerId),
    #[error("I6: batch {0} counts its tasks wrongly")]
    BatchCounters(BatchId),
    #[error("I7: the queue of batch {0} is not its pending tasks")]
    BatchQueue(BatchId),
    #[error("I8: batch {0} could assign a task and did not")]
    IdleWorker(BatchId),
    #[error("I9: waiting task {0} and its requirements disagree")]
    Requirements(TaskId),
    #[error("I10: worker {0} is not where its load puts it")]
    CandidateKey(WorkerId),
    #[error("I11: task {0} is paused and nobody holds it, or held and not paused")]
    Hold(TaskId),
    #[error("I12: worker {0} and its batch disagree on what it is reserved for")]
    Reservation(WorkerId),
    #[error("I13: worker {0} begins or was given a task of a batch that is paused")]
    Paused(WorkerId),
}

impl State {
    /// All broken invariants. Costs a walk over the whole state: for tests and
    /// checks. Ended tasks live in the database, so their counts are not
    /// compared here but in the check of a database.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        self.check_tasks_and_executions(&mut found);
        self.check_workers(&mut found);
        self.check_batches(&mut found);
        found
    }

    fn check_tasks_and_executions(&self, found: &mut Vec<Violation>) {
        for (id, task) in self.tasks.iter() {
            if let Some(execution_id) = task.life.execution() {
                match self.executions.get(&execution_id) {
                    Some(execution) if execution.row.task == id => {
                        let agree = matches!(
                            (task.life, execution.row.state),
                            (TaskLife::Assigned(_), ExecutionState::Pending)
                                | (
                                    TaskLife::Accepted(_) | TaskLife::HeldAccepted(_),
                                    ExecutionState::Accepted
                                )
                                | (
                                    TaskLife::Running(_) | TaskLife::Suspended(_),
                                    ExecutionState::Running
                                )
                        );
                        if !agree {
                            found.push(Violation::StatesDisagree(id));
                        }
                    }
                    _ => found.push(Violation::TaskWithoutExecution(id)),
                }
            }
            if let TaskLife::Waiting { unmet } | TaskLife::Held { unmet: unmet @ 1.. } = task.life {
                let listed = self.requirements.get(&id).map(Vec::as_slice).unwrap_or_default();
                let open = listed.iter().filter(|required| {
                    let task = self.tasks.get(&required.task);
                    task.is_some_and(|task| !required.is_met_by(task.life.state()))
                });
                let waits_for_none = unmet == 0 && !task.life.is_paused();
                let unmet = unmet as usize;
                if waits_for_none || unmet > listed.len() || open.count() > unmet {
                    found.push(Violation::Requirements(id));
                }
            }
            if task.life.is_paused() != (task.hold != Hold::No) {
                found.push(Violation::Hold(id));
            }
        }
        self.check_requirements(found);
        for (id, execution) in &self.executions {
            let named = self
                .tasks
                .get(&execution.row.task)
                .is_some_and(|task| task.life.execution() == Some(*id));
            if !named {
                found.push(Violation::ExecutionWithoutTask(*id));
            }
        }
    }

    /// Both directions say the same, and only tasks of the live state require.
    fn check_requirements(&self, found: &mut Vec<Violation>) {
        for (id, required) in &self.requirements {
            let mirrored = required.iter().all(|required| {
                self.dependents.get(&required.task).is_some_and(|others| others.contains(id))
            });
            if !mirrored || !self.tasks.contains_key(id) {
                found.push(Violation::Requirements(*id));
            }
        }
        for (required, others) in &self.dependents {
            for id in others {
                let listed = self.requirements.get(id).map(Vec::as_slice).unwrap_or_default();
                if !listed.iter().any(|listed| listed.task == *required) {
                    found.push(Violation::Requirements(*id));
                }
            }
        }
    }

    fn check_workers(&self, found: &mut Vec<Violation>) {
        for (id, worker) in &self.workers {
            let own: Vec<ExecutionId> = self
                .executions
                .iter()
                .filter(|(_, execution)| execution.worker == *id)
                .map(|(execution, _)| *execution)
                .collect();
            if own.len() != worker.executions.len()
                || own.iter().any(|execution| !worker.executions.contains(execution))
            {
                found.push(Violation::WorkerList(*id));
            }
            let held: u32 = own
                .iter()
                .filter_map(|execution| self.executions.get(execution))
                .map(Execution::counted_slots)
                .sum();
            if held != worker.held {
                found.push(Violation::WorkerHeld(*id));
            }
            let listed = worker.candidate_key.is_none_or(|key| {
                self.batches
                    .get(&worker.batch)
                    .is_some_and(|batch| batch.candidates.contains(&(key, *id)))
            });
            let reserved = self.batches.get(&worker.batch).and_then(|b| b.reserved.get(id));
            if reserved.copied() != worker.reserved_for {
                found.push(Violation::Reservation(*id));
            }
            if worker.candidate_key != worker.load_key() || !listed {
                found.push(Violation::CandidateKey(*id));
            }
        }
    }

    fn check_batches(&self, found: &mut Vec<Violation>) {
        for (id, batch) in &self.batches {
            let mut counted = Counters::default();
            let mut pending = 0;
            for (task_id, task) in self.tasks.iter().filter(|(_, task)| task.batch == *id) {
                if !task.hidden {
                    counted.add(task.life.state());
                }
                if task.life == TaskLife::Pending {
                    pending += 1;
                    if !batch.ready.contains(task_id, task) {
                        found.push(Violation::BatchQueue(*id));
                    }
                }
            }
            if pending != batch.ready.len() {
                found.push(Violation::BatchQueue(*id));
            }
            let live = [
                TaskState::Waiting,
                TaskState::Pending,
                TaskState::Assigned,
                TaskState::Accepted,
                TaskState::Running,
                TaskState::Paused,
            ];
            if live.iter().any(|state| counted.get(*state) != batch.counters.get(*state)) {
                found.push(Violation::BatchCounters(*id));
            }
            if self.could_assign(batch) {
                found.push(Violation::IdleWorker(*id));
            }
        }
    }
}
