//! Uploads that failed for good and are tried once more, in the same execution
//! and without a run of its command.
//!
//! While that is under way the execution keeps its former outcome: that is how
//! one is told from an execution whose command has run just now. Whatever keeps
//! it from its end, it fails as it had before.

use rustc_hash::FxHashMap;

use crate::api::task::Unfit;
use crate::domain::execution::{ExecutionState, FailureClass, Phase};
use crate::domain::task::{TaskEvent, TaskLife};
use crate::domain::worker::Protocol;
use crate::domain::{ExecutionId, TaskId, WorkerId};

use super::change::ExecutionRow;
use super::state::{Execution, State, Task};
use super::track::{audit, list};
use super::{Context, Effect, Refusal, Reply};

type Rows = FxHashMap<ExecutionId, ExecutionRow>;

impl State {
    pub(super) fn retry_uploads(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        unfit: Unfit,
        executions: Vec<(ExecutionId, ExecutionRow)>,
    ) -> Result<Reply, Refusal> {
        let mut rows: Rows = executions.into_iter().collect();
        let chosen = self.choose_tasks(ids, unfit, |id, task| {
            self.who_has_the_files(id, task, &rows).map(|_| ())
        })?;
        for id in &chosen {
            self.resend(context, *id, &mut rows);
        }
        audit(context, "task.retry-upload", list(&chosen));
        Ok(Reply::Tasks(chosen))
    }

    /// The worker that kept what a task has made and could not be sent.
    fn who_has_the_files(&self, id: TaskId, task: &Task, rows: &Rows) -> Result<WorkerId, Refusal> {
        let row = task.execution.and_then(|execution| rows.get(&execution));
        let failure = row.and_then(|row| row.outcome.as_ref()?.failure.as_ref());
        let is_upload = failure.is_some_and(|failure| failure.class == FailureClass::Upload);
        let (TaskLife::Failed, Some(row), true) = (task.life, row, is_upload) else {
            return Err(Refusal::NoFailedUpload(id));
        };
        let worker_id = row.worker.ok_or(Refusal::FilesAreGone(id))?;
        let worker = self.workers.get(&worker_id).ok_or(Refusal::FilesAreGone(id))?;
        if worker.machine.protocol != Protocol::Link {
            return Err(Refusal::FilesAreGone(id));
        }
        if worker.link.is_none() {
            return Err(Refusal::NotConnected(worker.name.clone()));
        }
        Ok(worker_id)
    }

    fn resend(&mut self, context: &mut Context<'_>, id: TaskId, rows: &mut Rows) {
        let Some(task) = self.tasks.get(&id).copied() else { return };
        let Ok(worker) = self.who_has_the_files(id, &task, rows) else { return };
        let Some(execution) = task.execution else { return };
        let Some(mut row) = rows.remove(&execution) else { return };
        row.state = ExecutionState::Running;
        row.finished_at = None;
        row.ending = None;
        // An edit since then may have named another place for the outputs.
        row.revision = task.revision;
        let order = Box::new(row.clone());
        let slots = self.slots_of(id, worker);
        let phase = Phase::Uploading;
        let live = Execution { row, worker, phase, transfer: None, ready_at: None, slots };
        self.attach_execution(execution, live);
        self.record_execution(context, execution);
        let former = task.life.state();
        self.move_task(context, id, TaskEvent::Adopt(execution), None);
        self.move_task(context, id, TaskEvent::Start(execution), None);
        self.reopen_requirement(context, id, former);
        context.effects.push(Effect::Resend { worker, execution, row: order });
    }
}
