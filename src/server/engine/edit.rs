//! Changing what a task is made of, and to which batch it belongs.

use crate::api::event::Event;
use crate::api::task::{EditEnded, EditRunning};
use crate::domain::execution::FailureClass;
use crate::domain::task::{TaskEvent, TaskLife};
use crate::domain::{BatchId, BatchName, ExecutionId, TaskId};

use super::change::{EditedTaskRow, Ending, failure};
use super::command::{NewTask, TaskEdit};
use super::state::{Requirement, State};
use super::track::{audit, list};
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Gives tasks new specifications: all of them, or none.
    pub(super) fn edit_tasks(
        &mut self,
        context: &mut Context<'_>,
        edits: Vec<TaskEdit>,
        running: EditRunning,
        ended: EditEnded,
    ) -> Result<Reply, Refusal> {
        for edit in &edits {
            self.check_edit(edit, running)?;
        }
        let ids: Vec<TaskId> = edits.iter().map(|edit| edit.id).collect();
        for edit in edits {
            self.edit_task(context, edit.id, edit.new, ended);
        }
        self.assign_all(context);
        audit(context, "task.edit", list(&ids));
        Ok(Reply::Tasks(ids))
    }

    /// Puts tasks into another batch. What has been accepted is brought to its end
    /// where it is.
    pub(super) fn move_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        name: &BatchName,
    ) -> Result<Reply, Refusal> {
        let chosen = self.choose_tasks(ids, crate::api::task::Unfit::Refuse, |_, _| Ok(()))?;
        for id in &chosen {
            let Some(task) = self.tasks.get(id) else { continue };
            if let TaskLife::Assigned(execution) = task.life {
                self.unassign(context, *id, execution, "the task was moved to another batch");
            }
            self.rebatch(context, *id, name);
            if let Some(edited) = context.changes.edited_tasks.get_mut(id)
                && let Some(batch) = self.batch_ids.get(name)
            {
                edited.batch = *batch;
            }
            if let Some(batch) = self.batch_ids.get(name) {
                context.changes.moved_tasks.insert(*id, (*batch, name.clone()));
            }
            self.tell_suspension_of_task(context, *id);
        }
        self.assign_all(context);
        audit(context, "task.move", format!("{name} {}", list(&chosen)));
        Ok(Reply::Tasks(chosen))
    }

    fn check_edit(&self, edit: &TaskEdit, running: EditRunning) -> Result<(), Refusal> {
        let id = edit.id;
        let task = self.tasks.get(&id).filter(|task| !task.hidden).ok_or(Refusal::NoTask(id))?;
        if let Some(given) = edit.revision.filter(|given| *given != task.revision) {
            return Err(Refusal::EditedSince { task: id, revision: task.revision, given });
        }
        let runs = matches!(task.life, TaskLife::Running(_) | TaskLife::Suspended(_));
        if runs && running == EditRunning::Refuse {
            return Err(Refusal::Runs(id));
        }
        self.check_requirements_exist(&edit.new.after)?;
        self.check_no_circle(id, &edit.new.after)
    }

    fn edit_task(&mut self, context: &mut Context<'_>, id: TaskId, new: NewTask, ended: EditEnded) {
        let Some(task) = self.tasks.get(&id).copied() else { return };
        if let TaskLife::Assigned(execution) = task.life {
            self.unassign(context, id, execution, "the task was edited");
        }
        let requirements = Self::tidy_requirements(new.after);
        self.rebatch(context, id, &new.batch);
        self.respecify(context, id, &requirements, (new.retry, new.priority), new.demand);
        let Some(task) = self.tasks.get(&id).copied() else { return };
        context.changes.moved_tasks.remove(&id);
        context.changes.edited_tasks.insert(
            id,
            EditedTaskRow {
                batch: task.batch,
                name: new.name,
                spec: new.spec,
                requirements: requirements.clone(),
                tags: new.tags,
                priority: new.priority,
                demand: new.demand,
            },
        );
        let unmet = self.count_unmet(&requirements);
        // An earlier edit may have said otherwise.
        self.waits_after_end.remove(&id);
        match task.life {
            TaskLife::Waiting { .. } | TaskLife::Pending | TaskLife::Held { .. } => {
                self.move_task(context, id, TaskEvent::Require { unmet }, None);
            }
            TaskLife::Accepted(execution) | TaskLife::HeldAccepted(execution) => {
                self.edit_accepted(context, id, execution, unmet);
            }
            TaskLife::Running(execution) | TaskLife::Suspended(execution) => {
                self.run_anew(context, id, execution, unmet);
            }
            TaskLife::Succeeded | TaskLife::Failed if ended == EditEnded::Run => {
                self.relaunch_task(context, id);
            }
            _ => self.record_task(context, id, task),
        }
        self.tell_suspension_of_task(context, id);
    }

    /// Ends an execution, after which its task is pending again, or waits for so
    /// many others.
    fn run_anew(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        execution: ExecutionId,
        unmet: u32,
    ) {
        if let Some(task) = self.tasks.get(&id).copied() {
            self.record_task(context, id, task);
        }
        if unmet > 0 {
            self.waits_after_end.insert(id, unmet);
        }
        self.end_execution(context, execution, Ending::Relaunch);
    }

    /// Changes all that the live state knows of a specification. While this is
    /// done the task stands in no queue.
    fn respecify(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        requirements: &[Requirement],
        (retry, priority): (u32, i32),
        demand: crate::domain::demand::Demand,
    ) {
        self.forget_requirements(id);
        self.note_requirements(id, requirements.to_vec());
        let Some(task) = self.tasks.get(&id).copied() else { return };
        self.recount(context, id, task, Some(task.life), None);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.retry = retry;
            task.priority = priority;
            task.demand = demand;
            task.revision += 1;
            task.refresh_budgets();
            let task = *task;
            self.recount(context, id, task, None, Some(task.life));
        }
        // What it takes of its worker follows what it asks for now.
        let execution = task.life.execution().and_then(|id| self.executions.get(&id));
        if let Some(worker) = execution.map(|live| live.worker) {
            self.reweigh_worker(worker);
        }
    }

    /// Its agent goes by the new specification if it has not begun, and says so
    /// in its next report. One that must wait again, or that another worker
    /// should have, is wanted back.
    fn edit_accepted(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        execution: ExecutionId,
        unmet: u32,
    ) {
        let Some(task) = self.tasks.get(&id).copied() else { return };
        let Some(live) = self.executions.get(&execution) else { return };
        let worker = live.worker;
        let fits = self.workers.get(&worker).is_some_and(|worker| {
            worker.batch == task.batch && worker.slots_for(task.demand).is_some()
        });
        if unmet > 0 || !fits {
            self.run_anew(context, id, execution, unmet);
            return;
        }
        self.record_task(context, id, task);
        context.effects.push(Effect::Edit { worker, execution, task: id, revision: task.revision });
    }

    /// Puts a task into the batch of that name, made if need be.
    fn rebatch(&mut self, context: &mut Context<'_>, id: TaskId, name: &BatchName) {
        let batch = self.batch_of(context, name);
        let Some(task) = self.tasks.get(&id).copied() else { return };
        if task.batch == batch {
            return;
        }
        let old_batch = task.batch;
        self.recount(context, id, task, Some(task.life), None);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.batch = batch;
            let task = *task;
            self.recount(context, id, task, None, Some(task.life));
            self.record_task(context, id, task);
            self.tell_of_move(context, id, old_batch);
        }
    }

    /// Tells those who follow the batch that a task was in. What it looks like
    /// now was told to all others.
    fn tell_of_move(&self, context: &mut Context<'_>, id: TaskId, from: BatchId) {
        let Some(task) = self.tasks.get(&id).filter(|task| !task.hidden) else { return };
        let (Some(to), Some(from)) = (self.batches.get(&task.batch), self.batches.get(&from))
        else {
            return;
        };
        context.effects.push(Effect::Publish(Event::Task {
            id,
            batch: to.name.clone(),
            state: task.life.state(),
            execution: task.execution,
            left: Some(from.name.clone()),
        }));
    }

    /// Takes an execution back that has provably not begun; its task is pending.
    fn unassign(
        &mut self,
        context: &mut Context<'_>,
        id: TaskId,
        execution: ExecutionId,
        why: &str,
    ) {
        self.refuse_execution(context, execution, &failure(FailureClass::Refused, why));
        self.move_task(context, id, TaskEvent::Requeue(execution), None);
    }

    /// It may be in a batch now that is paused, or no longer in one.
    fn tell_suspension_of_task(&self, context: &mut Context<'_>, id: TaskId) {
        if let Some(execution) = self.tasks.get(&id).and_then(|task| task.life.execution()) {
            self.tell_suspension(context, execution);
        }
    }
}
