//! What people do to end tasks, and the signals that they send to commands.

use crate::api::link::Verdict;
use crate::api::task::Unfit;
use crate::domain::batch::BatchPause;
use crate::domain::execution::FailureClass;
use crate::domain::signal::Signal;
use crate::domain::task::{TaskEvent, TaskLife, TaskState};
use crate::domain::{BatchName, ExecutionId, TaskId};

use super::change::{Ending, failure};
use super::state::State;
use super::track::{audit, list};
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Ends them: they fail with the class `cancelled`.
    pub(super) fn cancel_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        unfit: Unfit,
    ) -> Result<Reply, Refusal> {
        let chosen = self.choose_tasks(ids, unfit, |id, task| match task.life.state() {
            state if state.is_final() => Err(Refusal::TaskEnded(id, state)),
            _ => Ok(()),
        })?;
        for id in &chosen {
            self.cancel_task(context, *id);
        }
        audit(context, "task.cancel", list(&chosen));
        Ok(Reply::Tasks(chosen))
    }

    /// Sends a signal to commands. Those by which one ends or pauses a task do
    /// just that, in whatever phase the execution is.
    pub(super) fn signal_tasks(
        &mut self,
        context: &mut Context<'_>,
        ids: &[TaskId],
        signal: Signal,
        unfit: Unfit,
    ) -> Result<Reply, Refusal> {
        match signal {
            Signal::Stop | Signal::Tstp => return self.pause_tasks(context, ids, unfit),
            Signal::Cont => return self.resume_tasks(context, ids, unfit),
            _ => {}
        }
        let ends = matches!(signal, Signal::Term | Signal::Kill);
        let chosen = self.choose_tasks(ids, unfit, |id, task| match task.life {
            TaskLife::Running(execution) | TaskLife::Suspended(execution) if !ends => {
                self.can_be_told(execution)
            }
            TaskLife::Running(_) | TaskLife::Suspended(_) => Ok(()),
            TaskLife::Assigned(_) | TaskLife::Accepted(_) | TaskLife::HeldAccepted(_) if ends => {
                Ok(())
            }
            life => Err(Refusal::NotRunning(id, life.state())),
        })?;
        for id in &chosen {
            match signal {
                Signal::Term => self.cancel_task(context, *id),
                Signal::Kill => self.kill_task(context, *id),
                _ => self.send_signal(context, *id, signal),
            }
        }
        audit(context, "task.signal", format!("{signal} {}", list(&chosen)));
        Ok(Reply::Tasks(chosen))
    }

    /// Pauses a batch, and ends all that runs in it.
    pub(super) fn end_batch(
        &mut self,
        context: &mut Context<'_>,
        name: &BatchName,
        signal: Signal,
    ) -> Result<Reply, Refusal> {
        let id = self.find_batch_id(name)?;
        if self.batches.get(&id).is_some_and(|batch| batch.pause == BatchPause::No) {
            self.set_pause(context, id, BatchPause::Start);
        }
        let under_way = self.tasks_under_way(id);
        for task in &under_way {
            match signal {
                Signal::Kill => self.kill_task(context, *task),
                _ => self.cancel_task(context, *task),
            }
        }
        audit(context, "batch.end", format!("{signal} {name}"));
        Ok(Reply::Count(under_way.len() as u64))
    }

    pub(super) fn cancel_task(&mut self, context: &mut Context<'_>, id: TaskId) {
        self.end_task(context, id, Ending::Cancel);
    }

    pub(super) fn kill_task(&mut self, context: &mut Context<'_>, id: TaskId) {
        self.end_task(context, id, Ending::Kill);
    }

    fn end_task(&mut self, context: &mut Context<'_>, id: TaskId, ending: Ending) {
        let Some(task) = self.tasks.get(&id).copied() else { return };
        match task.life {
            TaskLife::Waiting { .. } | TaskLife::Pending | TaskLife::Held { .. } => {
                let reason = failure(FailureClass::Cancelled, by(context, ending));
                self.move_task(context, id, TaskEvent::Cancel, Some(reason));
                self.release_dependents(context, id, TaskState::Failed);
            }
            TaskLife::Assigned(execution) => {
                let reason = failure(FailureClass::Cancelled, by(context, ending));
                self.refuse_execution(context, execution, &reason);
                self.move_task(context, id, TaskEvent::Fail(execution), Some(reason));
                self.release_dependents(context, id, TaskState::Failed);
                self.assign(context, task.batch);
            }
            TaskLife::Accepted(execution)
            | TaskLife::Running(execution)
            | TaskLife::HeldAccepted(execution)
            | TaskLife::Suspended(execution) => self.end_execution(context, execution, ending),
            TaskLife::Succeeded | TaskLife::Failed => {}
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
        let (worker, task) = (execution.worker, execution.row.task);
        if ending != Ending::Relaunch {
            self.waits_after_end.remove(&task);
        }
        self.record_execution(context, id);
        let verdict = ending.verdict();
        context.effects.push(Effect::Order { worker, execution: id, verdict });
    }

    /// An end is remembered until the agent hears of it; any other signal is not.
    fn can_be_told(&self, id: ExecutionId) -> Result<(), Refusal> {
        let worker = self.executions.get(&id).and_then(|live| self.workers.get(&live.worker));
        match worker {
            Some(worker) if worker.link.is_none() => {
                Err(Refusal::NotConnected(worker.name.clone()))
            }
            _ => Ok(()),
        }
    }

    fn send_signal(&self, context: &mut Context<'_>, id: TaskId, signal: Signal) {
        let execution = self.tasks.get(&id).and_then(|task| task.life.execution());
        if let Some(execution) = execution
            && let Some(live) = self.executions.get(&execution)
        {
            context.effects.push(Effect::Signal { worker: live.worker, execution, signal });
        }
    }
}

impl Ending {
    /// What the agent is told.
    pub(super) const fn verdict(self) -> Verdict {
        match self {
            Self::Kill => Verdict::Killed,
            Self::Cancel | Self::Relaunch | Self::Delete => Verdict::Cancelled,
        }
    }
}

fn by(context: &Context<'_>, ending: Ending) -> String {
    let done = if ending == Ending::Kill { "killed" } else { "cancelled" };
    format!("{done} by {}", context.actor)
}
