//! Why a task does not run, told for people.

use crate::domain::TaskId;
use crate::domain::execution::{ExecutionState, Phase};
use crate::domain::task::{Hold, TaskLife};
use crate::domain::worker::{WantedState, WorkerState};

use super::command::LiveTask;
use super::state::{Batch, State, Worker};

impl State {
    /// The live part of a task: its phase, and why it does not run.
    #[must_use]
    pub fn live_task(&self, id: TaskId) -> LiveTask {
        let Some(task) = self.tasks.get(&id) else { return LiveTask::default() };
        let execution = task.life.execution().and_then(|id| self.executions.get(&id));
        let phase = execution
            .filter(|execution| execution.row.state != ExecutionState::Pending)
            .map(|execution| execution.phase);
        let why = match task.life {
            TaskLife::Waiting { unmet } => Some(format!("{unmet} required tasks are not done")),
            TaskLife::Pending => {
                self.batches.get(&task.batch).map(|batch| self.why_pending(batch, id))
            }
            TaskLife::Assigned(_) => execution.map(|live| {
                format!("given to worker {}, which has not taken it yet", live.row.worker_name)
            }),
            TaskLife::Accepted(_) => execution.map(|live| {
                let name = &live.row.worker_name;
                match live.phase {
                    Phase::Downloading => format!("worker {name} fetches its data"),
                    _ => format!("waits for a free slot on worker {name}"),
                }
            }),
            TaskLife::Held { .. } | TaskLife::HeldAccepted(_) | TaskLife::Suspended(_) => {
                Some(why_paused(task.hold))
            }
            TaskLife::Running(_) | TaskLife::Succeeded | TaskLife::Failed => None,
        };
        LiveTask { phase, why }
    }

    fn why_pending(&self, batch: &Batch, id: TaskId) -> String {
        let name = &batch.name;
        if batch.workers.is_empty() {
            let elsewhere = self.workers.len();
            return match elsewhere {
                0 => format!("no worker in batch `{name}`, and none in any other"),
                _ => format!("no worker in batch `{name}` ({elsewhere} in other batches)"),
            };
        }
        let ahead = batch.ready.range(..id).count();
        let reasons: Vec<String> = batch
            .workers
            .iter()
            .filter_map(|worker| self.workers.get(worker))
            .take(5)
            .map(why_not)
            .collect();
        let more = batch.workers.len().saturating_sub(reasons.len());
        let mut text = reasons.join("; ");
        if more > 0 {
            text = format!("{text}; and {more} more workers");
        }
        if ahead > 0 {
            text = format!("{text}; {ahead} older tasks come first");
        }
        text
    }
}

fn why_paused(hold: Hold) -> String {
    match hold {
        Hold::Batch => "its batch was paused with its tasks".to_owned(),
        Hold::Person | Hold::No => "it was paused by a person".to_owned(),
    }
}

/// Why a worker takes nothing new.
fn why_not(worker: &Worker) -> String {
    let name = &worker.name;
    match worker.state() {
        WorkerState::Running if worker.deleting => format!("worker {name} is being deleted"),
        WorkerState::Running if worker.leaving => format!("worker {name} drains"),
        WorkerState::Running if worker.link.is_none() => format!("worker {name} is reconnecting"),
        WorkerState::Running if worker.settings.concurrency == 0 => {
            format!("worker {name} has no slots")
        }
        WorkerState::Running => {
            let held = worker.held;
            let (slots, prefetch) = (worker.settings.concurrency, worker.settings.prefetch);
            format!(
                "worker {name} is full: it holds {held} tasks for {slots} slots and {prefetch} ahead"
            )
        }
        state => {
            debug_assert!(state != WorkerState::Running || worker.wanted != WantedState::Running);
            format!("worker {name} is {state}")
        }
    }
}
