//! Holding tasks back: one by one, or a whole batch.

use crate::api::batch::WithTasks;
use crate::api::event::Event;
use crate::api::task::Unfit;
use crate::domain::batch::BatchPause;
use crate::domain::execution::{ExecutionState, FailureClass, Suspension};
use crate::domain::task::{Hold, TaskEvent, TaskLife, TaskState};
use crate::domain::{BatchId, BatchName, ExecutionId, TaskId};

use super::change::failure;
use super::state::State;
use super::track::{audit, list};
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Holds them back: what has not begun does not, and commands that run are
    /// suspended.
    pub(super) fn pause_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        unfit: Unfit,
    ) -> Result<Reply, Refusal> {
        let chosen = self.choose_tasks(ids, unfit, |id, task| match task.life.state() {
            state if state.is_final() => Err(Refusal::TaskEnded(id, state)),
            TaskState::Paused if task.hold == Hold::Person => Err(Refusal::AlreadyPaused(id)),
            _ => Ok(()),
        })?;
        for id in &chosen {
            self.hold_task(context, *id, Hold::Person);
        }
        audit(context, "task.pause", list(&chosen));
        Ok(Reply::Tasks(chosen))
    }

    /// Lets them go on from where they were held back.
    pub(super) fn resume_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        unfit: Unfit,
    ) -> Result<Reply, Refusal> {
        let chosen = self.choose_tasks(ids, unfit, |id, task| match task.life.state() {
            TaskState::Paused => Ok(()),
            state => Err(Refusal::NotPaused(id, state)),
        })?;
        for id in &chosen {
            self.let_task_go(context, *id);
        }
        audit(context, "task.resume", list(&chosen));
        Ok(Reply::Tasks(chosen))
    }

    /// Pauses a batch, whichever workers it has or gets.
    pub(super) fn pause_batch(
        &mut self,
        context: &mut Context<'_>,
        name: &BatchName,
        with: WithTasks,
    ) -> Result<Reply, Refusal> {
        let id = self.find_batch_id(name)?;
        let pause = if with.tasks { BatchPause::Tasks } else { BatchPause::Start };
        self.set_pause(context, id, pause);
        let mut held = 0;
        if pause == BatchPause::Tasks {
            let running = |id: &TaskId| {
                self.tasks.get(id).is_some_and(|task| matches!(task.life, TaskLife::Running(_)))
            };
            let running: Vec<TaskId> =
                self.tasks_under_way(id).into_iter().filter(running).collect();
            held = running.len() as u64;
            for task in running {
                self.hold_task(context, task, Hold::Batch);
            }
        }
        audit(context, "batch.pause", format!("{name} {pause}"));
        Ok(Reply::Count(held))
    }

    /// Lets a batch go on; and with its tasks those that were held back with it.
    pub(super) fn go_batch(
        &mut self,
        context: &mut Context<'_>,
        name: &BatchName,
        with: WithTasks,
    ) -> Result<Reply, Refusal> {
        let id = self.find_batch_id(name)?;
        self.set_pause(context, id, BatchPause::No);
        let mut freed = 0;
        if with.tasks {
            let held = |id: &TaskId| {
                self.tasks.get(id).is_some_and(|task| task.hold == Hold::Batch && !task.hidden)
            };
            let held: Vec<TaskId> = self.tasks_under_way(id).into_iter().filter(held).collect();
            freed = held.len() as u64;
            for task in held {
                self.let_task_go(context, task);
            }
        }
        audit(context, "batch.go", name.to_string());
        self.assign(context, id);
        Ok(Reply::Count(freed))
    }

    /// Sets how far a batch is paused, and tells the agents of what they hold.
    pub(super) fn set_pause(&mut self, context: &mut Context<'_>, id: BatchId, pause: BatchPause) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if batch.pause == pause {
            return;
        }
        batch.pause = pause;
        let event = Event::Batch { name: batch.name.clone(), pause };
        context.effects.push(Effect::Publish(event));
        context.changes.touched_batches.insert(id);
        self.hiring.ask(id);
        for task in self.tasks_under_way(id) {
            let Some(execution) = self.tasks.get(&task).and_then(|task| task.life.execution())
            else {
                continue;
            };
            match self.executions.get(&execution).map(|live| live.row.state) {
                Some(ExecutionState::Pending) if pause != BatchPause::No => {
                    self.take_back(context, execution, "its batch was paused");
                }
                Some(ExecutionState::Accepted) => self.tell_suspension(context, execution),
                _ => {}
            }
        }
    }

    /// How far an execution is held back now.
    pub(in crate::server) fn suspension_of(&self, id: ExecutionId) -> Suspension {
        let Some(execution) = self.executions.get(&id) else { return Suspension::No };
        let Some(task) = self.tasks.get(&execution.row.task) else { return Suspension::No };
        let paused =
            self.batches.get(&task.batch).is_some_and(|batch| batch.pause != BatchPause::No);
        if task.life.is_paused() {
            Suspension::Run
        } else if paused && execution.row.state != ExecutionState::Running {
            Suspension::Start
        } else {
            Suspension::No
        }
    }

    pub(super) fn tell_suspension(&self, context: &mut Context<'_>, id: ExecutionId) {
        if let Some(execution) = self.executions.get(&id) {
            let suspension = self.suspension_of(id);
            let worker = execution.worker;
            context.effects.push(Effect::Suspend { worker, execution: id, suspension });
        }
    }

    /// A command was started while its task or its batch was being held back.
    pub(super) fn hold_if_paused(&mut self, context: &mut Context<'_>, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        let with_tasks =
            self.batches.get(&task.batch).is_some_and(|batch| batch.pause == BatchPause::Tasks);
        if with_tasks && matches!(task.life, TaskLife::Running(_)) && !task.hidden {
            self.hold_task(context, id, Hold::Batch);
        }
    }

    /// The tasks of a batch that people see and that have an execution, oldest first.
    pub(super) fn tasks_under_way(&self, batch: BatchId) -> Vec<TaskId> {
        let mut found: Vec<TaskId> = self
            .executions
            .values()
            .map(|execution| execution.row.task)
            .filter(|id| self.tasks.get(id).is_some_and(|task| task.batch == batch && !task.hidden))
            .collect();
        found.sort_unstable();
        found
    }

    fn hold_task(&mut self, context: &mut Context<'_>, id: TaskId, hold: Hold) {
        let Some(task) = self.tasks.get(&id).copied() else { return };
        if task.life.is_paused() {
            self.set_hold(context, id, hold);
            return;
        }
        if let TaskLife::Assigned(execution) = task.life {
            // It has provably not begun: nobody need wait for its agent.
            self.refuse_for_hold(context, id, execution, hold);
            return;
        }
        if let Some(task) = self.tasks.get_mut(&id) {
            task.hold = hold;
        }
        self.move_task(context, id, TaskEvent::Pause, None);
        if let Some(execution) = task.life.execution() {
            self.tell_suspension(context, execution);
        }
    }

    fn refuse_for_hold(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        execution: ExecutionId,
        hold: Hold,
    ) {
        let reason = failure(FailureClass::Refused, "the task was paused");
        self.refuse_execution(context, execution, &reason);
        self.move_task(context, id, TaskEvent::Requeue(execution), None);
        let batch = self.tasks.get_mut(&id).map(|task| {
            task.hold = hold;
            task.batch
        });
        self.move_task(context, id, TaskEvent::Pause, None);
        if let Some(batch) = batch {
            self.assign(context, batch);
        }
    }

    fn set_hold(&mut self, context: &mut Context<'_>, id: TaskId, hold: Hold) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.hold = hold;
            let task = *task;
            self.record_task(context, id, task);
        }
    }

    fn let_task_go(&mut self, context: &mut Context<'_>, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        let (batch, execution) = (task.batch, task.life.execution());
        self.move_task(context, id, TaskEvent::Resume, None);
        if let Some(execution) = execution {
            self.tell_suspension(context, execution);
        }
        self.assign(context, batch);
    }
}
