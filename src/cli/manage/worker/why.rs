//! Why a worker takes nothing.

use crate::api::batch::BatchView;
use crate::api::worker::WorkerView;
use crate::domain::batch::BatchPause;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;

/// Why a worker takes no task at the moment; none where it would take one.
/// `batch` is its batch, if the server has it.
#[must_use]
pub fn why_nothing_new(worker: &WorkerView, batch: Option<&BatchView>) -> Option<String> {
    let name = &worker.batch;
    match worker.state {
        WorkerState::Paused => return Some("it is paused".to_owned()),
        WorkerState::Draining => {
            return Some("it is draining: it leaves after what it has".to_owned());
        }
        WorkerState::Offline => return Some("it is offline: its agent is silent".to_owned()),
        WorkerState::Evicted => return Some("its provider has taken it away".to_owned()),
        WorkerState::Failed => {
            let reason = worker.failure.as_deref().unwrap_or("too many tasks failed in a row");
            return Some(format!(
                "it was taken out of service: {reason}; `manage worker resume` puts it back"
            ));
        }
        WorkerState::Running => {}
    }
    if worker.concurrency == 0 {
        return Some("its concurrency is 0".to_owned());
    }
    let pending = batch.and_then(|batch| batch.tasks.get(&TaskState::Pending)).copied();
    match batch.map(|batch| batch.pause) {
        Some(BatchPause::Start | BatchPause::Tasks) => {
            return Some(format!("batch {name} is paused; `manage batch go` lets it go on"));
        }
        Some(BatchPause::No) | None => {}
    }
    if pending.unwrap_or(0) == 0 {
        return Some(format!("batch {name} has no pending task"));
    }
    if worker.slots.taken >= worker.slots.total {
        return Some(format!("all its {} slots are taken", worker.slots.total));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::batch::Slots;
    use crate::cli::testing::{batch, worker};

    #[test]
    fn a_worker_without_work_says_why() {
        let pending = |count| {
            let mut batch = batch("Default");
            batch.tasks.insert(TaskState::Pending, count);
            batch
        };
        let why = |worker: WorkerView, batch: &BatchView| why_nothing_new(&worker, Some(batch));
        let paused = WorkerView { state: WorkerState::Paused, ..worker(1) };
        assert_eq!(why(paused, &pending(1)).as_deref(), Some("it is paused"));
        assert_eq!(
            why(worker(1), &pending(0)).as_deref(),
            Some("batch Default has no pending task")
        );
        let stopped = BatchView { pause: BatchPause::Start, ..pending(1) };
        assert!(why(worker(1), &stopped).unwrap().starts_with("batch Default is paused"));
        let full = WorkerView { slots: Slots { taken: 2, total: 2 }, ..worker(1) };
        assert_eq!(why(full, &pending(1)).as_deref(), Some("all its 2 slots are taken"));
        assert_eq!(why(worker(1), &pending(1)), None);
    }
}
