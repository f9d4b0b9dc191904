//! Which worker gets which task.

use crate::domain::execution::{ExecutionState, OutputSizes, Phase};
use crate::domain::task::TaskEvent;
use crate::domain::{BatchId, TaskId, WorkerId};

use super::change::ExecutionRow;
use super::state::{Execution, State};
use super::{Context, Effect};

impl State {
    /// Gives ready tasks of a batch, oldest first, to the workers that are
    /// least loaded in proportion to their size, until one of both runs out.
    pub(super) fn assign(&mut self, context: &mut Context<'_>, batch: BatchId) {
        while let Some((task, worker)) = self.next_assignment(batch) {
            self.assign_to(context, task, worker);
        }
    }

    fn next_assignment(&self, batch: BatchId) -> Option<(TaskId, WorkerId)> {
        let batch = self.batches.get(&batch)?;
        let task = batch.ready.first()?;
        let (_, worker) = batch.candidates.first()?;
        Some((*task, *worker))
    }

    fn assign_to(&mut self, context: &mut Context<'_>, task_id: TaskId, worker_id: WorkerId) {
        let (Some(task), Some(worker)) =
            (self.tasks.get_mut(&task_id), self.workers.get(&worker_id))
        else {
            return;
        };
        let id = self.next.execution;
        self.next.execution = id.next();
        task.execution = Some(id);
        task.attempts += 1;
        let (attempt, revision) = (task.attempts, task.revision);
        let execution = Execution {
            row: ExecutionRow {
                task: task_id,
                attempt,
                revision,
                worker: Some(worker_id),
                worker_name: worker.name.clone(),
                state: ExecutionState::Pending,
                ending: None,
                assigned_at: context.now.wall,
                accepted_at: None,
                ready_at: None,
                started_at: None,
                ended_at: None,
                finished_at: None,
                outcome: None,
                output: OutputSizes::default(),
            },
            worker: worker_id,
            phase: Phase::Downloading,
            ready_at: None,
        };
        self.record_next_ids(context);
        self.attach_execution(id, execution);
        self.record_execution(context, id);
        self.move_task(context, task_id, TaskEvent::Assign(id), None);
        context.effects.push(Effect::Start {
            worker: worker_id,
            execution: id,
            task: task_id,
            attempt,
            revision,
        });
    }
}
