//! Making tasks, and running them anew.

use rustc_hash::FxHashSet;

use crate::api::task::Unfit;
use crate::domain::TaskId;
use crate::domain::task::{Hold, TaskEvent, TaskLife};

use super::change::{Ending, NewTaskRow};
use super::command::NewTask;
use super::state::{State, Task};
use super::track::{audit, list};
use super::{Context, Refusal, Reply};

impl State {
    /// Queues tasks with consecutive ids. A requirement may be any task that
    /// exists before; those that have ended must have been loaded.
    pub(super) fn create_tasks(
        &mut self,
        context: &mut Context<'_>,
        tasks: Vec<NewTask>,
    ) -> Result<Reply, Refusal> {
        for new in &tasks {
            self.check_requirements_exist(&new.after)?;
        }
        let first = self.next.task;
        let count = tasks.len() as u64;
        let mut touched = FxHashSet::default();
        for new in tasks {
            let batch = self.batch_of(context, &new.batch);
            touched.insert(batch);
            let id = self.next.task;
            self.next.task = id.next();
            let requirements = Self::tidy_requirements(new.after);
            let unmet = self.count_unmet(&requirements);
            self.note_requirements(id, requirements.clone());
            let life = match (new.hold, unmet) {
                (Hold::No, 0) => TaskLife::Pending,
                (Hold::No, unmet) => TaskLife::Waiting { unmet },
                (_, unmet) => TaskLife::Held { unmet },
            };
            let task = Task {
                life,
                batch,
                execution: None,
                attempts: 0,
                retry: new.retry,
                retries_left: new.retry,
                losses: 0,
                priority: new.priority,
                demand: new.demand,
                hold: new.hold,
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
        unfit: Unfit,
    ) -> Result<Reply, Refusal> {
        let mut chosen = self.choose_tasks(ids, unfit, |_, _| Ok(()))?;
        chosen.sort_unstable();
        for id in &chosen {
            self.relaunch_task(context, *id);
        }
        audit(context, "task.relaunch", list(&chosen));
        Ok(Reply::Tasks(chosen))
    }

    pub(super) fn relaunch_task(&mut self, context: &mut Context<'_>, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        match task.life {
            // The budgets of one that runs become fresh when it has ended.
            TaskLife::Accepted(execution)
            | TaskLife::Running(execution)
            | TaskLife::HeldAccepted(execution)
            | TaskLife::Suspended(execution) => {
                let requirements = self.requirements.get(&id).map(Vec::as_slice);
                let unmet = self.count_unmet(requirements.unwrap_or_default());
                if unmet > 0 {
                    self.waits_after_end.insert(id, unmet);
                }
                self.end_execution(context, execution, Ending::Relaunch);
                return;
            }
            _ => task.refresh_budgets(),
        }
        let task = *task;
        match task.life {
            TaskLife::Assigned(execution) => {
                self.take_back(context, execution, "the task was relaunched");
            }
            TaskLife::Succeeded | TaskLife::Failed => {
                let requirements = self.requirements.get(&id).map(Vec::as_slice);
                let unmet = self.count_unmet(requirements.unwrap_or_default());
                self.move_task(context, id, TaskEvent::Relaunch { unmet }, None);
                self.reopen_requirement(context, id, task.life.state());
            }
            _ => self.record_task(context, id, task),
        }
        self.assign(context, task.batch);
    }

    /// Those of the tasks to which a change applies, each once; or the reason why
    /// it does not apply to one of them.
    pub(super) fn choose_tasks(
        &self,
        ids: &[TaskId],
        unfit: Unfit,
        check: impl Fn(TaskId, &Task) -> Result<(), Refusal>,
    ) -> Result<Vec<TaskId>, Refusal> {
        let mut chosen = Vec::with_capacity(ids.len());
        let mut known = FxHashSet::default();
        for id in ids {
            let task = self.tasks.get(id).filter(|task| !task.hidden);
            let verdict = task.ok_or(Refusal::NoTask(*id)).and_then(|task| check(*id, task));
            match (verdict, unfit) {
                (Ok(()), _) => {
                    if known.insert(*id) {
                        chosen.push(*id);
                    }
                }
                (Err(refusal), Unfit::Refuse) => return Err(refusal),
                (Err(_), Unfit::Skip) => {}
            }
        }
        Ok(chosen)
    }
}
