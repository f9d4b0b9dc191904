//! Tasks of another system come in, with what became of them there.

use rustc_hash::FxHashSet;

use crate::domain::task::{Hold, TaskLife, TaskState};

use super::change::{Entered, NewTaskRow};
use super::command::ImportTask;
use super::state::{State, Task};
use super::track::audit;
use super::{Context, Refusal, Reply};

impl State {
    /// Gives out ids for executions that come in with their tasks: their output is
    /// stored under these before anything tells of them.
    pub(super) fn reserve_executions(&mut self, context: &mut Context<'_>, count: u64) -> Reply {
        let first = self.next.execution;
        self.next.execution.0 += count;
        self.record_next_ids(context);
        Reply::Executions { first }
    }

    /// Takes tasks in with consecutive ids. What they require must be here.
    pub(super) fn import_tasks(
        &mut self,
        context: &mut Context<'_>,
        tasks: Vec<ImportTask>,
    ) -> Result<Reply, Refusal> {
        for import in &tasks {
            self.check_requirements_exist(&import.new.after)?;
        }
        let first = self.next.task;
        let count = tasks.len() as u64;
        let mut touched = FxHashSet::default();
        for import in tasks {
            touched.insert(self.import_task(context, import));
        }
        self.record_next_ids(context);
        audit(context, "task.import", format!("{count} from {first}"));
        for batch in touched {
            self.assign(context, batch);
        }
        Ok(Reply::Created { first, count })
    }

    fn import_task(
        &mut self,
        context: &mut Context<'_>,
        import: ImportTask,
    ) -> crate::domain::BatchId {
        let ImportTask { new, ended, created_at, since, retries_left, executions } = import;
        let batch = self.batch_of(context, &new.batch);
        let id = self.next.task;
        self.next.task = id.next();
        let requirements = Self::tidy_requirements(new.after);
        let unmet = self.count_unmet(&requirements);
        self.note_requirements(id, requirements.clone());
        let failure = ended.as_ref().and_then(|ended| ended.failure.clone());
        let life = match (ended.map(|ended| ended.state), new.hold, unmet) {
            (Some(TaskState::Succeeded), ..) => TaskLife::Succeeded,
            (Some(_), ..) => TaskLife::Failed,
            (None, Hold::No, 0) => TaskLife::Pending,
            (None, Hold::No, unmet) => TaskLife::Waiting { unmet },
            (None, _, unmet) => TaskLife::Held { unmet },
        };
        let mut attempts = 0;
        let mut execution = None;
        for (execution_id, mut row) in executions {
            attempts += 1;
            row.task = id;
            row.attempt = attempts;
            context.changes.executions.insert(execution_id, row);
            execution = Some(execution_id);
        }
        let is_over = life.state().is_final();
        let task = Task {
            life,
            batch,
            execution,
            attempts,
            retry: new.retry,
            retries_left,
            losses: 0,
            priority: new.priority,
            demand: new.demand,
            hold: if is_over { Hold::No } else { new.hold },
            revision: 0,
            hidden: false,
        };
        context.changes.new_tasks.push(NewTaskRow {
            id,
            batch,
            name: new.name,
            spec: new.spec,
            created_at,
            created_by: context.actor.clone(),
            requirements,
            tags: new.tags,
            priority: new.priority,
            demand: new.demand,
        });
        self.tasks.insert(id, task);
        let entered = Entered { at: since, failure: failure.map(Box::new) };
        self.write_task(context, id, task, Some(entered));
        self.recount(context, id, task, None, Some(life));
        if is_over {
            context.changes.ended_tasks.push(id);
        }
        batch
    }
}
