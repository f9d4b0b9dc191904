//! Executions that an agent holds and this database does not know: they come from
//! another one, or from this one before it was restored. They run on until a
//! person says what shall become of them.

use crate::api::worker::{HandledOrphans, Orphan, RefusedOrphan};
use crate::domain::execution::{ExecutionState, OutputSizes, Phase};
use crate::domain::task::{TaskEvent, TaskLife};
use crate::domain::{ExecutionId, WorkerId};

use super::change::ExecutionRow;
use super::state::{Execution, State};
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Makes orphans executions of their tasks, where those still want one.
    pub(super) fn adopt_orphans(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        executions: &[ExecutionId],
    ) -> Result<Reply, Refusal> {
        let mut handled = HandledOrphans::default();
        for orphan in self.find_orphans(id, executions)? {
            if let Some(reason) = self.why_not_adopted(&orphan) {
                handled.refused.push(RefusedOrphan { execution: orphan.execution, reason });
            } else {
                self.adopt(context, id, &orphan);
                handled.done.push(orphan.execution);
            }
        }
        self.forget_orphans(id, &handled.done);
        if !handled.done.is_empty() {
            let executions = handled.done.clone();
            context.effects.push(Effect::Adopt { worker: id, executions });
            audit(context, "worker.adopt", format!("{id} {:?}", handled.done));
        }
        Ok(Reply::Orphans(handled))
    }

    /// Has the agent end orphans and forget them.
    pub(super) fn abandon_orphans(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        executions: &[ExecutionId],
    ) -> Result<Reply, Refusal> {
        let orphans = self.find_orphans(id, executions)?;
        let done: Vec<ExecutionId> = orphans.iter().map(|orphan| orphan.execution).collect();
        self.forget_orphans(id, &done);
        if !done.is_empty() {
            context.effects.push(Effect::Abandon { worker: id, executions: done.clone() });
            audit(context, "worker.abandon", format!("{id} {done:?}"));
        }
        Ok(Reply::Orphans(HandledOrphans { done, refused: Vec::new() }))
    }

    /// Those that are named, or all; its agent must be there to hear of it.
    fn find_orphans(
        &self,
        id: WorkerId,
        executions: &[ExecutionId],
    ) -> Result<Vec<Orphan>, Refusal> {
        let worker = self.workers.get(&id).ok_or(Refusal::NoWorker(id))?;
        if worker.link.is_none() {
            return Err(Refusal::NotConnected(worker.name.clone()));
        }
        let orphan = |execution: &ExecutionId| {
            worker.orphans.iter().find(|orphan| orphan.execution == *execution)
        };
        if let Some(execution) = executions.iter().find(|execution| orphan(execution).is_none()) {
            let worker = worker.name.clone();
            return Err(Refusal::NoOrphan { worker, execution: *execution });
        }
        let is_named =
            |orphan: &&Orphan| executions.is_empty() || executions.contains(&orphan.execution);
        Ok(worker.orphans.iter().filter(is_named).cloned().collect())
    }

    pub(super) fn why_not_adopted(&self, orphan: &Orphan) -> Option<String> {
        let Orphan { execution, task, .. } = orphan;
        if !orphan.own_store {
            return Some("it comes from another database".to_owned());
        }
        if self.executions.contains_key(execution) || *execution >= self.next.execution {
            return Some(format!("its id {execution} is another one's here"));
        }
        let Some(live) = self.tasks.get(task).filter(|task| !task.hidden) else {
            return Some(format!("task {task} does not exist any more"));
        };
        match live.life {
            TaskLife::Succeeded => Some(format!("task {task} has succeeded since")),
            other => {
                other.execution().map(|other| format!("task {task} has execution {other} by now"))
            }
        }
    }

    fn adopt(&mut self, context: &mut Context<'_>, id: WorkerId, orphan: &Orphan) {
        let slots = self.slots_of(orphan.task, id);
        let (Some(task), Some(worker)) = (self.tasks.get_mut(&orphan.task), self.workers.get(&id))
        else {
            return;
        };
        task.execution = Some(orphan.execution);
        task.attempts += 1;
        let started = orphan.started_at.is_some();
        let execution = Execution {
            row: ExecutionRow {
                task: orphan.task,
                attempt: task.attempts,
                revision: task.revision,
                worker: Some(id),
                worker_name: worker.name.clone(),
                state: if started { ExecutionState::Running } else { ExecutionState::Accepted },
                ending: None,
                assigned_at: orphan.started_at.unwrap_or(context.now.wall),
                accepted_at: orphan.started_at,
                ready_at: None,
                started_at: orphan.started_at,
                ended_at: None,
                finished_at: None,
                outcome: None,
                output: OutputSizes::default(),
                keepsake: None,
            },
            worker: id,
            phase: if started { Phase::Running } else { Phase::Downloading },
            transfer: None,
            ready_at: None,
            slots,
        };
        self.attach_execution(orphan.execution, execution);
        self.record_execution(context, orphan.execution);
        self.move_task(context, orphan.task, TaskEvent::Adopt(orphan.execution), None);
        if started {
            self.move_task(context, orphan.task, TaskEvent::Start(orphan.execution), None);
        }
    }

    fn forget_orphans(&mut self, id: WorkerId, executions: &[ExecutionId]) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.orphans.retain(|orphan| !executions.contains(&orphan.execution));
            if worker.orphans.is_empty() {
                self.orphan_holders.remove(&id);
            }
        }
    }
}
