//! Making, relaunching, cancelling and deleting tasks.

use rustc_hash::FxHashSet;

use crate::api::event::Event;
use crate::api::link::Verdict;
use crate::api::task::Dependents;
use crate::domain::execution::FailureClass;
use crate::domain::task::{Hold, TaskEvent, TaskLife, TaskState};
use crate::domain::{ExecutionId, TaskId};

use super::change::{DeletedTask, Ending, NewTaskRow, failure};
use super::command::NewTask;
use super::state::{Requirement, State, Task};
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Queues tasks with consecutive ids. A requirement may be any task that
    /// exists before; those that have ended must have been loaded.
    pub(super) fn create_tasks(
        &mut self,
        context: &mut Context<'_>,
        tasks: Vec<NewTask>,
    ) -> Result<Reply, Refusal> {
        for required in tasks.iter().flat_map(|task| &task.after) {
            if self.tasks.get(&required.task).is_none_or(|task| task.hidden) {
                return Err(Refusal::NoTask(required.task));
            }
        }
        let first = self.next.task;
        let count = tasks.len() as u64;
        let mut touched = FxHashSet::default();
        for new in tasks {
            let batch = self.batch_of(context, &new.batch);
            touched.insert(batch);
            let id = self.next.task;
            self.next.task = id.next();
            let mut requirements = new.after;
            requirements.sort_unstable();
            requirements.dedup();
            let unmet = self.count_unmet(&requirements);
            self.note_requirements(id, requirements.clone());
            let task = Task {
                life: if unmet == 0 { TaskLife::Pending } else { TaskLife::Waiting { unmet } },
                batch,
                execution: None,
                attempts: 0,
                retry: new.retry,
                retries_left: new.retry,
                losses: 0,
                priority: new.priority,
                demand: new.demand,
                hold: Hold::No,
                revision: 0,
                hidden: false,
            };
            context.changes.new_tasks.push(NewTaskRow {
                id,
                batch,
                name: new.name,
                spec: new.spec,
                created_at: context.now.wall,
                created_by: context.actor.clone(),
                requirements,
                tags: new.tags,
                priority: new.priority,
                demand: new.demand,
            });
            self.tasks.insert(id, task);
            self.record_new_task(context, id, task);
            self.recount(context, id, task, None, Some(task.life));
        }
        self.record_next_ids(context);
        audit(context, "task.create", format!("{count} from {first}"));
        for batch in touched {
            self.assign(context, batch);
        }
        Ok(Reply::Created { first, count })
    }

    /// Starts them over with fresh budgets. One that is under way is ended
    /// first. Required tasks go before those that require them, which
    /// therefore wait for the new run.
    pub(super) fn relaunch_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
    ) -> Result<Reply, Refusal> {
        self.check_tasks(ids)?;
        let mut in_order = ids.to_vec();
        in_order.sort_unstable();
        in_order.dedup();
        for id in &in_order {
            self.relaunch_task(context, *id);
        }
        audit(context, "task.relaunch", list(ids));
        Ok(Reply::Tasks(ids.to_vec()))
    }

    fn relaunch_task(&mut self, context: &mut Context<'_>, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        // The budgets of one that runs become fresh when it has ended.
        if let TaskLife::Accepted(execution) | TaskLife::Running(execution) = task.life {
            self.end_execution(context, execution, Ending::Relaunch);
            return;
        }
        task.refresh_budgets();
        let task = *task;
        match task.life {
            TaskLife::Waiting { .. } | TaskLife::Pending => {
                self.record_task(context, id, task);
            }
            TaskLife::Assigned(execution) => {
                self.take_back(context, execution, "the task was relaunched");
            }
            TaskLife::Succeeded | TaskLife::Failed => {
                let requirements = self.requirements.get(&id).map(Vec::as_slice);
                let unmet = self.count_unmet(requirements.unwrap_or_default());
                self.move_task(context, id, TaskEvent::Relaunch { unmet }, None);
                if task.life == TaskLife::Succeeded {
                    for dependent in self.waiting_dependents(id) {
                        self.move_task(context, dependent, TaskEvent::RequirementReopened, None);
                    }
                }
            }
            _ => {}
        }
        self.assign(context, task.batch);
    }

    /// Ends them: they fail with the class `cancelled`.
    pub(super) fn cancel_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
    ) -> Result<Reply, Refusal> {
        self.check_tasks(ids)?;
        for id in ids {
            if let Some(task) = self.tasks.get(id)
                && task.life.state().is_final()
            {
                return Err(Refusal::TaskEnded(*id, task.life.state()));
            }
        }
        for id in ids {
            let Some(task) = self.tasks.get(id).copied() else { continue };
            let reason =
                || failure(FailureClass::Cancelled, format!("cancelled by {}", context.actor));
            match task.life {
                TaskLife::Waiting { .. } | TaskLife::Pending | TaskLife::Held { .. } => {
                    let reason = reason();
                    self.move_task(context, *id, TaskEvent::Cancel, Some(reason));
                }
                TaskLife::Assigned(execution) => {
                    let reason = reason();
                    self.refuse_execution(context, execution, &reason);
                    self.move_task(context, *id, TaskEvent::Fail(execution), Some(reason));
                    self.assign(context, task.batch);
                }
                TaskLife::Accepted(execution)
                | TaskLife::Running(execution)
                | TaskLife::HeldAccepted(execution)
                | TaskLife::Suspended(execution) => {
                    self.end_execution(context, execution, Ending::Cancel);
                }
                TaskLife::Succeeded | TaskLife::Failed => {}
            }
        }
        audit(context, "task.cancel", list(ids));
        Ok(Reply::Tasks(ids.to_vec()))
    }

    /// Takes them away with their executions and output. One that is under way
    /// is hidden and goes when its execution has ended, which is not hastened.
    ///
    /// With [`Dependents::Detach`] a waiting task keeps its requirement on one
    /// that had not succeeded, and so stays blocked: what it needs will never
    /// be. Only one that is under way may still succeed, and then releases it.
    pub(super) fn delete_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        dependents: Dependents,
    ) -> Result<Reply, Refusal> {
        self.check_tasks(ids)?;
        let mut doomed: Vec<TaskId> = ids.to_vec();
        let mut known: FxHashSet<TaskId> = ids.iter().copied().collect();
        let mut position = 0;
        while let Some(id) = doomed.get(position).copied() {
            position += 1;
            let mut outside = self.waiting_dependents(id);
            outside.retain(|other| !known.contains(other));
            match (dependents, outside.first()) {
                (Dependents::Refuse, Some(example)) => {
                    return Err(Refusal::HasDependents {
                        task: id,
                        count: outside.len(),
                        example: *example,
                    });
                }
                (Dependents::Cascade, _) => {
                    known.extend(&outside);
                    doomed.extend(outside);
                }
                (Dependents::Refuse | Dependents::Detach, _) => {}
            }
        }
        for id in &doomed {
            self.delete_task(context, *id);
        }
        audit(context, "task.delete", list(&doomed));
        Ok(Reply::Tasks(doomed))
    }

    fn delete_task(&mut self, context: &mut Context<'_>, id: TaskId) {
        let Some(task) = self.tasks.get(&id).copied() else { return };
        if let Some(batch) = self.batches.get(&task.batch) {
            context
                .effects
                .push(Effect::Publish(Event::TaskDeleted { id, batch: batch.name.clone() }));
        }
        context.effects.push(Effect::Ended(id));
        self.recount(context, id, task, Some(task.life), None);
        if task.life.execution().is_some() {
            let hidden = Task { hidden: true, ..task };
            self.tasks.insert(id, hidden);
            self.record_task(context, id, hidden);
        } else {
            self.remove_task(context, id, task.life.state() == TaskState::Succeeded);
        }
    }

    /// Takes a task without execution out of the live state and the database.
    /// Requirements on one that succeeded go with it.
    pub(super) fn remove_task(&mut self, context: &mut Context<'_>, id: TaskId, succeeded: bool) {
        self.tasks.remove(&id);
        self.forget_requirements(id);
        if succeeded {
            for dependent in self.dependents.remove(&id).unwrap_or_default() {
                if let Some(requirements) = self.requirements.get_mut(&dependent) {
                    requirements.retain(|required| required.task != id);
                    if requirements.is_empty() {
                        self.requirements.remove(&dependent);
                    }
                }
            }
        }
        context.changes.tasks.remove(&id);
        context.changes.deleted_tasks.push(DeletedTask { id, succeeded });
    }

    /// All of them exist for people.
    fn check_tasks(&self, ids: &[TaskId]) -> Result<(), Refusal> {
        for id in ids {
            if self.tasks.get(id).is_none_or(|task| task.hidden) {
                return Err(Refusal::NoTask(*id));
            }
        }
        Ok(())
    }

    /// How many of these are not met. Tasks that have ended must have been loaded.
    pub(super) fn count_unmet(&self, requirements: &[Requirement]) -> u32 {
        let unmet = requirements.iter().filter(|required| {
            let task = self.tasks.get(&required.task);
            task.is_none_or(|task| !required.is_met_by(task.life.state()))
        });
        u32::try_from(unmet.count()).unwrap_or(u32::MAX)
    }

    /// The tasks that wait and require that one, oldest first.
    fn waiting_dependents(&self, id: TaskId) -> Vec<TaskId> {
        let waits = |other: &TaskId| {
            self.tasks.get(other).is_some_and(|task| task.life.state() == TaskState::Waiting)
        };
        self.dependents
            .get(&id)
            .map(|others| others.iter().copied().filter(waits).collect())
            .unwrap_or_default()
    }

    /// Releases the tasks that waited for one that has succeeded.
    pub(super) fn release_dependents(&mut self, context: &mut Context<'_>, succeeded: TaskId) {
        for id in self.waiting_dependents(succeeded) {
            self.move_task(context, id, TaskEvent::RequirementMet, None);
            if let Some(task) = self.tasks.get(&id) {
                self.assign(context, task.batch);
            }
        }
    }

    /// Asks the agent to end an execution; its task moves when that has happened.
    pub(super) fn end_execution(
        &mut self,
        context: &mut Context<'_>,
        id: ExecutionId,
        ending: Ending,
    ) {
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.row.ending = Some(ending);
        let worker = execution.worker;
        self.record_execution(context, id);
        context.effects.push(Effect::Order { worker, execution: id, verdict: Verdict::Cancelled });
    }
}

/// Ids for the audit, at most a hundred of them.
fn list(ids: &[TaskId]) -> String {
    let shown: Vec<String> = ids.iter().take(100).map(ToString::to_string).collect();
    let more = ids.len().saturating_sub(shown.len());
    let text = shown.join(" ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}
