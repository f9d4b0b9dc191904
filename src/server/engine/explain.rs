//! Why a task does not run, told for people.

use crate::domain::batch::BatchPause;
use crate::domain::demand::Demand;
use crate::domain::execution::{ExecutionState, Phase};
use crate::domain::task::{Hold, TaskLife, TaskState};
use crate::domain::worker::{WantedState, WorkerState};
use crate::domain::{ExecutionId, TaskId};

use super::command::LiveTask;
use super::state::{Batch, Execution, State, Worker};

/// Tasks that come before one are counted so far.
const MOST_COUNTED: usize = 1_000;

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
                let batch = self.batches.get(&task.batch);
                if let Some(batch) = batch.filter(|batch| batch.pause != BatchPause::No) {
                    return format!("batch `{}` is paused", batch.name);
                }
                match live.phase {
                    Phase::Downloading => match self.pull_of(task.life.execution(), live) {
                        Some(progress) => format!("worker {name} fetches its data: {progress}"),
                        None => format!("worker {name} fetches its data"),
                    },
                    _ => format!("waits for a free slot on worker {name}"),
                }
            }),
            TaskLife::Held { .. } | TaskLife::HeldAccepted(_) | TaskLife::Suspended(_) => {
                Some(why_paused(task.hold))
            }
            TaskLife::Running(_) | TaskLife::Succeeded | TaskLife::Failed => None,
        };
        let transfer = execution.and_then(|execution| execution.transfer);
        LiveTask { phase, transfer, why }
    }

    /// Why none of a batch's tasks runs, when some could.
    #[must_use]
    pub fn why_batch_stands(&self, batch: &Batch) -> Option<String> {
        let counters = &batch.counters;
        if counters.get(TaskState::Running) + counters.get(TaskState::Accepted) > 0 {
            return None;
        }
        match batch.ready.first() {
            Some(first) => Some(self.why_pending(batch, first)),
            None if counters.get(TaskState::Waiting) > 0 => {
                Some("its tasks wait for others".to_owned())
            }
            None => None,
        }
    }

    /// How far the image of an execution is, as its worker told last.
    fn pull_of(&self, id: Option<ExecutionId>, live: &Execution) -> Option<&str> {
        let pulls = &self.workers.get(&live.worker)?.pulls;
        let own = pulls.iter().find(|(execution, _)| Some(*execution) == id);
        own.map(|(_, progress)| progress.as_str())
    }

    fn why_pending(&self, batch: &Batch, id: TaskId) -> String {
        let name = &batch.name;
        if self.settling.is_some() {
            return "the data directory is a copy: waits to hear what workers run already"
                .to_owned();
        }
        if batch.workers.is_empty() {
            let elsewhere = self.workers.len();
            return match elsewhere {
                0 => format!("no worker in batch `{name}`, and none in any other"),
                _ => format!("no worker in batch `{name}` ({elsewhere} in other batches)"),
            };
        }
        let task = self.tasks.get(&id);
        let ahead = task.map_or(0, |task| batch.ready.count_before(id, task, MOST_COUNTED));
        let demand = task.map(|task| task.demand).unwrap_or_default();
        if batch.pause != BatchPause::No {
            return format!("batch `{name}` is paused");
        }
        let reasons: Vec<String> = batch
            .workers
            .iter()
            .filter_map(|id| Some((id, self.workers.get(id)?)))
            .take(5)
            .map(|(id, worker)| {
                if self.has_engine_for(*id, demand) {
                    why_not(worker, demand)
                } else {
                    format!("worker {} has no container engine", worker.name)
                }
            })
            .collect();
        let more = batch.workers.len().saturating_sub(reasons.len());
        let mut text = reasons.join("; ");
        if more > 0 {
            text = format!("{text}; and {more} more workers");
        }
        match ahead {
            0 => {}
            MOST_COUNTED => text = format!("{text}; more than {MOST_COUNTED} tasks come first"),
            _ => text = format!("{text}; {ahead} tasks come first"),
        }
        text
    }
}

fn asked(demand: Demand) -> String {
    match (demand.cpu, demand.memory_mib) {
        (cpu, 0) => format!("{cpu} cores"),
        (0, mib) => format!("{mib} MiB of memory"),
        (cpu, mib) => format!("{cpu} cores and {mib} MiB of memory"),
    }
}

fn why_paused(hold: Hold) -> String {
    match hold {
        Hold::Batch => "its batch was paused with its tasks".to_owned(),
        Hold::Person | Hold::No => "it was paused by a person".to_owned(),
    }
}

/// Why a worker takes nothing new.
fn why_not(worker: &Worker, demand: Demand) -> String {
    let name = &worker.name;
    match worker.state() {
        WorkerState::Running if worker.deleting => format!("worker {name} is being deleted"),
        WorkerState::Running if worker.leaving => format!("worker {name} drains"),
        WorkerState::Running if worker.link.is_none() => format!("worker {name} is reconnecting"),
        WorkerState::Running if worker.settings.concurrency == 0 => {
            format!("worker {name} has no slots")
        }
        WorkerState::Failed => {
            let why = worker.failure.as_deref().unwrap_or_default();
            format!("worker {name} is out of service: {why}")
        }
        WorkerState::Running if worker.slots_for(demand).is_none() => {
            format!("worker {name} is too small: the task asks for {}", asked(demand))
        }
        WorkerState::Running if worker.reserved_for.is_some() => {
            format!("worker {name} makes room for a task that asks for much")
        }
        WorkerState::Running => {
            let held = worker.held;
            let (slots, prefetch) = (worker.settings.concurrency, worker.settings.prefetch);
            match worker.slots_for(demand) {
                Some(needed @ 2..) if worker.candidate_key.is_some() => {
                    let free = u64::from(slots) + u64::from(prefetch) - u64::from(held);
                    format!("worker {name} has {free} slots free and the task takes {needed} there")
                }
                _ => format!(
                    "worker {name} is full: {held} slots taken of {slots} and {prefetch} ahead"
                ),
            }
        }
        state => {
            debug_assert!(state != WorkerState::Running || worker.wanted != WantedState::Running);
            format!("worker {name} is {state}")
        }
    }
}
