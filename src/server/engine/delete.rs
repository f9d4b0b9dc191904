//! Taking tasks and batches away.

use rustc_hash::FxHashSet;

use crate::api::batch::{DeleteBatch, DeleteRunning};
use crate::api::event::Event;
use crate::api::task::{Dependents, Unfit};
use crate::domain::task::{TaskLife, TaskState};
use crate::domain::{BatchId, BatchName, TaskId};

use super::change::{DeletedTask, Ending};
use super::state::{Counters, State, Task};
use super::track::{audit, list};
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Takes them away with their executions and output. One that is under way
    /// is hidden and goes when its execution has ended, which is not hastened,
    /// unless it is paused: nobody could ever let it go on.
    ///
    /// With [`Dependents::Detach`] a waiting task keeps its requirement on one
    /// that did not meet it, and so stays blocked: what it needs will never
    /// be. Only one that is under way may still meet it, and then releases it.
    pub(super) fn delete_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        dependents: Dependents,
        unfit: Unfit,
    ) -> Result<Reply, Refusal> {
        let chosen = self.choose_tasks(ids, unfit, |_, _| Ok(()))?;
        let doomed = self.plan_deletion(chosen, dependents)?;
        for id in &doomed {
            self.delete_task(context, *id);
        }
        audit(context, "task.delete", list(&doomed));
        Ok(Reply::Tasks(doomed))
    }

    /// Takes a batch away with all its tasks. Its name is free at once; rows of
    /// ended tasks go bit by bit. Its workers stay, in a new batch of that name.
    pub(super) fn delete_batch(
        &mut self,
        context: &mut Context<'_>,
        name: &BatchName,
        how: DeleteBatch,
    ) -> Result<Reply, Refusal> {
        let id = self.find_batch_id(name)?;
        let mut own: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.batch == id && !task.hidden)
            .map(|(id, _)| id)
            .collect();
        own.sort_unstable();
        let doomed = self.plan_deletion(own, how.dependents)?;
        let Some(batch) = self.batches.get(&id) else { return Err(Refusal::NoBatch(name.clone())) };
        let count: u64 = batch.counters.by_state().values().sum();
        for task in doomed {
            let Some(live) = self.tasks.get(&task).copied() else { continue };
            if live.batch != id {
                self.delete_task(context, task);
            } else if live.life.execution().is_some() {
                if how.running == DeleteRunning::Kill {
                    self.kill_task(context, task);
                }
                self.delete_task(context, task);
            } else {
                self.drop_task(context, task, live);
            }
        }
        let Some(batch) = self.batches.get_mut(&id) else { return Ok(Reply::Count(count)) };
        batch.deleted = true;
        batch.counters = Counters::default();
        self.batch_ids.remove(name);
        context.changes.touched_batches.insert(id);
        self.delete_recruiters_of(context, id);
        self.rehome_workers(context, id, name);
        context.effects.push(Effect::Publish(Event::BatchDeleted { name: name.clone() }));
        audit(context, "batch.delete", format!("{name} with {count} tasks"));
        Ok(Reply::Count(count))
    }

    /// Takes a task without execution out of the live state and the database.
    /// Requirements that it met go with it.
    pub(super) fn remove_task(&mut self, context: &mut Context<'_>, id: TaskId, state: TaskState) {
        self.tasks.remove(&id);
        self.forget_requirements(id);
        self.drop_met_requirements(id, state);
        context.changes.tasks.remove(&id);
        context.changes.edited_tasks.remove(&id);
        context.changes.moved_tasks.remove(&id);
        context.changes.deleted_tasks.push(DeletedTask { id, state });
    }

    /// Batches that were deleted and of whose tasks nothing is under way.
    pub(super) fn batches_to_purge(&self) -> Vec<BatchId> {
        let mut doomed: FxHashSet<BatchId> =
            self.batches.iter().filter(|(_, batch)| batch.deleted).map(|(id, _)| *id).collect();
        if doomed.is_empty() {
            return Vec::new();
        }
        for execution in self.executions.values() {
            if let Some(task) = self.tasks.get(&execution.row.task) {
                doomed.remove(&task.batch);
            }
        }
        let mut doomed: Vec<BatchId> = doomed.into_iter().collect();
        doomed.sort_unstable();
        doomed
    }

    /// All that goes with these tasks.
    fn plan_deletion(
        &self,
        chosen: Vec<TaskId>,
        dependents: Dependents,
    ) -> Result<Vec<TaskId>, Refusal> {
        let mut known: FxHashSet<TaskId> = chosen.iter().copied().collect();
        let mut doomed = chosen;
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
        Ok(doomed)
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
        if let Some(execution) = task.life.execution() {
            if matches!(task.life, TaskLife::HeldAccepted(_) | TaskLife::Suspended(_)) {
                self.end_execution(context, execution, Ending::Kill);
            }
            let hidden = Task { hidden: true, ..task };
            self.tasks.insert(id, hidden);
            self.record_task(context, id, hidden);
        } else {
            self.remove_task(context, id, task.life.state());
        }
    }

    /// Takes a task of a deleted batch out of the live state. Its rows go with
    /// those of the others.
    fn drop_task(&mut self, context: &mut Context<'_>, id: TaskId, task: Task) {
        let state = task.life.state();
        if state.is_final() {
            // Others may need to know how it ended.
            self.remove_task(context, id, state);
        } else {
            if let Some(batch) = self.batches.get_mut(&task.batch) {
                batch.ready.remove(id, &task);
            }
            self.tasks.remove(&id);
            self.forget_requirements(id);
        }
        context.effects.push(Effect::Ended(id));
    }
}
