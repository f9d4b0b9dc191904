//! The bookkeeping that every change shares: moving a task or an execution to
//! its next state keeps counters, queues and rows in step. Nothing else
//! touches them.

use crate::api::event::Event;
use crate::domain::execution::{ExecutionState, Failure, Phase};
use crate::domain::task::{Hold, TaskEvent, TaskLife, TaskState};
use crate::domain::{BatchId, BatchName, ExecutionId, TaskId, WorkerId};

use super::change::{AuditRow, BatchRow, Entered, NextIds, TaskRow, WorkerRow};
use super::state::{Batch, Execution, State, Task, Worker};
use super::{ChangeSet, Context, Effect};

impl State {
    /// Moves a task by an event. An event that its state does not allow
    /// changes nothing; callers check what they rely on beforehand.
    pub(super) fn move_task(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        event: TaskEvent,
        failure: Option<Failure>,
    ) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Ok(life) = task.life.on(event) else { return false };
        let old = task.life;
        task.life = life;
        if !life.is_paused() {
            task.hold = Hold::No;
        }
        let task = *task;
        let entered = (old.state() != life.state() || failure.is_some())
            .then(|| Entered { at: context.now.wall, failure: failure.map(Box::new) });
        self.write_task(context, id, task, entered);
        if old.state() != life.state() {
            self.recount(context, id, task, Some(old), Some(life));
        }
        if life.state().is_final() {
            self.count_end(context, task.batch);
            context.changes.ended_tasks.push(id);
            context.effects.push(Effect::Ended(id));
        }
        true
    }

    /// Writes the row of a task that stays in its state, and tells followers.
    pub(super) fn record_task(&self, context: &mut Context<'_>, id: TaskId, task: Task) {
        self.write_task(context, id, task, None);
    }

    /// Writes the row of a new task, and tells followers.
    pub(super) fn record_new_task(&self, context: &mut Context<'_>, id: TaskId, task: Task) {
        let entered = Entered { at: context.now.wall, failure: None };
        self.write_task(context, id, task, Some(entered));
    }

    pub(super) fn write_task(
        &self,
        context: &mut Context<'_>,
        id: TaskId,
        task: Task,
        entered: Option<Entered>,
    ) {
        let state = task.life.state();
        // What the same commit has of its way into this state holds.
        let entered =
            entered.or_else(|| context.changes.tasks.remove(&id).and_then(|row| row.entered));
        context.changes.tasks.insert(
            id,
            TaskRow {
                state,
                entered,
                execution: task.execution,
                attempts: task.attempts,
                retries_left: task.retries_left,
                losses: task.losses,
                hold: task.hold,
                released: task.life == TaskLife::Held { unmet: 0 },
                revision: task.revision,
                hidden: task.hidden,
            },
        );
        if !task.hidden
            && let Some(batch) = self.batches.get(&task.batch)
        {
            context.effects.push(Effect::Publish(Event::Task {
                id,
                batch: batch.name.clone(),
                state,
                execution: task.execution,
                left: None,
            }));
        }
    }

    /// Keeps the counters and the queue of a task's batch in step with its move.
    /// `None` stands for a task that is not there (not yet, or no longer).
    pub(super) fn recount(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        task: Task,
        old: Option<TaskLife>,
        new: Option<TaskLife>,
    ) {
        let Some(batch) = self.batches.get_mut(&task.batch) else { return };
        if let Some(old) = old {
            if !task.hidden {
                batch.counters.remove(old.state());
            }
            if old.state() == TaskState::Pending {
                batch.ready.remove(id, &task);
            }
        }
        if let Some(new) = new {
            if !task.hidden {
                batch.counters.add(new.state());
            }
            if new.state() == TaskState::Pending {
                batch.ready.insert(id, &task);
            }
        }
        context.changes.touched_batches.insert(task.batch);
        self.hiring.ask(task.batch);
    }

    fn count_end(&mut self, context: &Context<'_>, batch: BatchId) {
        if let Some(batch) = self.batches.get_mut(&batch) {
            batch.throughput.add(context.now.monotonic);
        }
    }

    /// The id of the batch of that name, made if need be.
    pub(super) fn batch_of(&mut self, context: &mut Context<'_>, name: &BatchName) -> BatchId {
        if let Some(id) = self.batch_ids.get(name) {
            return *id;
        }
        let id = self.next.batch;
        self.next.batch = id.next();
        self.record_next_ids(context);
        context.changes.touched_batches.insert(id);
        self.batches.insert(id, Batch::new(name.clone()));
        self.batch_ids.insert(name.clone(), id);
        id
    }

    /// Makes the rows of the batches that a set of changes has touched.
    pub fn complete(&self, changes: &mut ChangeSet) {
        for id in std::mem::take(&mut changes.touched_batches) {
            if let Some(batch) = self.batches.get(&id) {
                changes.batches.insert(id, batch_row(batch));
            }
        }
    }

    pub(super) fn record_next_ids(&self, context: &mut Context<'_>) {
        context.changes.next_ids = Some(NextIds { ..self.next });
    }

    /// Writes an execution's row as it stands.
    pub(super) fn record_execution(&self, context: &mut Context<'_>, id: ExecutionId) {
        if let Some(execution) = self.executions.get(&id) {
            context.changes.executions.insert(id, execution.row.clone());
        }
    }

    /// Writes a worker's row as it stands and puts it in its place among the
    /// candidates of its batch.
    pub(super) fn record_worker(&mut self, context: &mut Context<'_>, id: WorkerId) {
        self.rank_worker(id);
        if let Some(worker) = self.workers.get(&id) {
            context.changes.workers.insert(id, Some(worker_row(worker)));
            let batch = worker.batch;
            self.hiring.ask(batch);
            self.publish_worker(context, id);
        }
    }

    pub(super) fn publish_worker(&self, context: &mut Context<'_>, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            context.effects.push(Effect::Publish(Event::Worker {
                id,
                batch: worker.settings.batch.clone(),
                state: worker.state(),
            }));
        }
    }

    /// Puts a worker in its place among the candidates of its batch.
    pub(super) fn rank_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let key = worker.load_key();
        if key == worker.candidate_key {
            return;
        }
        if let Some(batch) = self.batches.get_mut(&worker.batch) {
            if let Some(old) = worker.candidate_key {
                batch.candidates.remove(&(old, id));
            }
            if let Some(new) = key {
                batch.candidates.insert((new, id));
                if worker.candidate_key.is_none_or(|old| new < old) {
                    batch.freed.insert(id);
                }
            }
            worker.candidate_key = key;
        }
    }

    /// Adds an execution to what its worker holds.
    pub(super) fn attach_execution(&mut self, id: ExecutionId, execution: Execution) {
        if let Some(worker) = self.workers.get_mut(&execution.worker) {
            worker.executions.insert(id);
            worker.held += execution.counted_slots();
        }
        let worker = execution.worker;
        self.executions.insert(id, execution);
        self.rank_worker(worker);
    }

    /// Takes an execution that has ended out of the live state.
    pub(super) fn detach_execution(&mut self, id: ExecutionId) -> Option<Execution> {
        let execution = self.executions.remove(&id)?;
        if let Some(worker) = self.workers.get_mut(&execution.worker) {
            worker.executions.remove(&id);
            worker.held = worker.held.saturating_sub(execution.counted_slots());
        }
        self.rank_worker(execution.worker);
        Some(execution)
    }

    /// Sets the phase of an execution; an upload frees its place on the worker.
    pub(super) fn set_phase(&mut self, id: ExecutionId, phase: Phase) {
        let Some(execution) = self.executions.get_mut(&id) else { return };
        let counted = execution.counted_slots();
        execution.phase = phase;
        let counts = execution.counted_slots();
        let worker_id = execution.worker;
        if counted != counts
            && let Some(worker) = self.workers.get_mut(&worker_id)
        {
            worker.held = (worker.held + counts).saturating_sub(counted);
            self.rank_worker(worker_id);
        }
    }

    /// Counts anew how many slots each execution of a worker takes: its settings,
    /// its machine or a task was changed.
    pub(super) fn reweigh_worker(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let executions: Vec<ExecutionId> = worker.executions.iter().copied().collect();
        let mut held = 0;
        for execution_id in executions {
            let Some(task) = self.executions.get(&execution_id).map(|live| live.row.task) else {
                continue;
            };
            let slots = self.slots_of(task, id);
            if let Some(execution) = self.executions.get_mut(&execution_id) {
                execution.slots = slots;
                held += execution.counted_slots();
            }
        }
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.held = held;
        let batch = worker.batch;
        self.rank_worker(id);
        // What fits on it may have changed, whatever its load.
        if let Some(batch) = self.batches.get_mut(&batch) {
            batch.freed.insert(id);
        }
    }
}

impl Execution {
    /// The slots that it takes of its worker now: an upload needs none.
    pub(super) fn counted_slots(&self) -> u32 {
        let uploads = self.row.state == ExecutionState::Running && self.phase == Phase::Uploading;
        if uploads { 0 } else { self.slots }
    }
}

/// Notes who did what.
pub(super) fn audit(context: &mut Context<'_>, action: &'static str, detail: String) {
    context.changes.audit.push(AuditRow {
        at: context.now.wall,
        who: context.actor.clone(),
        action,
        detail,
    });
}

/// Ids for the audit, at most a hundred of them.
pub(super) fn list(ids: &[TaskId]) -> String {
    let shown: Vec<String> = ids.iter().take(100).map(ToString::to_string).collect();
    let more = ids.len().saturating_sub(shown.len());
    let text = shown.join(" ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

fn batch_row(batch: &Batch) -> BatchRow {
    BatchRow {
        name: (!batch.deleted).then(|| batch.name.clone()),
        counters: batch.counters,
        pause: batch.pause,
        settings: batch.settings.clone(),
        runtimes: batch.runtimes.clone(),
        spent: batch.spent.clone(),
    }
}

fn worker_row(worker: &Worker) -> WorkerRow {
    WorkerRow {
        name: worker.name.clone(),
        machine: worker.machine.clone(),
        settings: worker.settings.clone(),
        wanted: worker.wanted,
        failure: worker.failure.clone(),
        version: worker.version.clone(),
        succeeded: worker.succeeded,
        failed: worker.failed,
        registered_at: worker.registered_at,
        created_by: worker.created_by.clone(),
        hire: worker.hire.clone(),
    }
}
