//! How executions end, and what their tasks do then.

use crate::api::link::Verdict;
use crate::domain::execution::{ExecutionState, Failure, FailureClass, Outcome};
use crate::domain::task::{Hold, TaskEvent, TaskState};
use crate::domain::{ExecutionId, TaskId};

use super::change::{Ending, failure};
use super::state::{Execution, State};
use super::{Context, Effect};

impl State {
    /// Records the end of an execution and decides what its task does next:
    /// it succeeds, is tried again, or fails.
    pub(super) fn finish_execution(
        &mut self,
        context: &mut Context<'_>,
        id: ExecutionId,
        mut outcome: Outcome,
    ) {
        let Some(mut execution) = self.detach_execution(id) else { return };
        let ending = execution.row.ending;
        if let Some(ending) = ending {
            outcome.failure = Some(person_ended(ending));
        }
        if let Some(before) = execution.row.outcome.take()
            && let Some(failed) = outcome.failure.take()
        {
            outcome = Outcome { failure: Some(not_sent_again(failed)), ..*before };
        }
        execution.row.state = match &outcome.failure {
            None => ExecutionState::Succeeded,
            Some(failure) if failure.class == FailureClass::Refused => ExecutionState::Refused,
            Some(_) => ExecutionState::Failed,
        };
        execution.row.finished_at = Some(context.now.wall);
        let failed = outcome.failure.clone();
        execution.row.outcome = Some(Box::new(outcome));
        self.count_for_worker(context, &execution);
        self.close(context, id, &execution, ending, failed);
        let batch = self.workers.get(&execution.worker).map(|worker| worker.batch);
        self.leave_if_deleting(context, execution.worker);
        if let Some(batch) = batch {
            self.assign(context, batch);
        }
    }

    /// Ends an execution that its agent has not accepted, and so has not begun.
    pub(super) fn refuse_execution(
        &mut self,
        context: &mut Context<'_>,
        id: ExecutionId,
        reason: &Failure,
    ) {
        let Some(mut execution) = self.detach_execution(id) else { return };
        execution.row.state = ExecutionState::Refused;
        execution.row.finished_at = Some(context.now.wall);
        execution.row.outcome =
            Some(Box::new(Outcome::without_run(reason.class, reason.reason.clone())));
        let worker = execution.worker;
        context.changes.executions.insert(id, execution.row);
        context.effects.push(Effect::OutputComplete(id));
        context.effects.push(Effect::Order { worker, execution: id, verdict: Verdict::Superseded });
    }

    /// Takes an execution back that its agent has not accepted; its task is
    /// ready again and nothing was lost.
    pub(super) fn take_back(&mut self, context: &mut Context<'_>, id: ExecutionId, why: &str) {
        let Some(task_id) = self.executions.get(&id).map(|execution| execution.row.task) else {
            return;
        };
        self.refuse_execution(context, id, &failure(FailureClass::Refused, why));
        self.requeue(context, task_id, id, Again::AsItWas);
    }

    /// Counts an execution that its worker did not bring to an end. An agent
    /// that is only slow and still has its link is told to let go of it.
    pub(super) fn lose_execution(&mut self, context: &mut Context<'_>, id: ExecutionId, why: &str) {
        if let Some(execution) = self.executions.get(&id) {
            let worker = execution.worker;
            let verdict = Verdict::Superseded;
            context.effects.push(Effect::Order { worker, execution: id, verdict });
        }
        self.finish_execution(context, id, Outcome::without_run(FailureClass::Lost, why));
    }

    /// Moves the task on after the end of its execution.
    fn close(
        &mut self,
        context: &mut Context<'_>,
        id: ExecutionId,
        execution: &Execution,
        ending: Option<Ending>,
        failed: Option<Failure>,
    ) {
        context.changes.executions.insert(id, execution.row.clone());
        context.effects.push(Effect::OutputComplete(id));
        let task_id = execution.row.task;
        let Some(task) = self.tasks.get_mut(&task_id) else { return };
        if task.life.execution() != Some(id) {
            return;
        }
        if task.hidden {
            let state = if failed.is_none() { TaskState::Succeeded } else { TaskState::Failed };
            self.release_dependents(context, task_id, state);
            self.waits_after_end.remove(&task_id);
            self.remove_task(context, task_id, state);
            return;
        }
        let Some(failed) = failed else {
            self.count_runtime(context, execution);
            self.move_task(context, task_id, TaskEvent::Succeed(id), None);
            self.release_dependents(context, task_id, TaskState::Succeeded);
            return;
        };
        let again = match ending {
            Some(Ending::Relaunch) => {
                task.refresh_budgets();
                true
            }
            Some(Ending::Cancel | Ending::Kill) => false,
            None | Some(Ending::Delete) => {
                if failed.class.uses_retry() && task.retries_left > 0 {
                    task.retries_left -= 1;
                    true
                } else if failed.class.is_no_fault_of_the_task() {
                    task.losses += u32::from(failed.class != FailureClass::Evicted);
                    task.losses < self.policy.most_losses
                } else {
                    false
                }
            }
        };
        if again {
            let as_wanted = ending == Some(Ending::Relaunch);
            let again = if as_wanted { Again::AsWanted } else { Again::AsItWas };
            self.requeue(context, task_id, id, again);
        } else {
            self.waits_after_end.remove(&task_id);
            self.move_task(context, task_id, TaskEvent::Fail(id), Some(failed));
            self.release_dependents(context, task_id, TaskState::Failed);
        }
    }

    /// Notes how long a command that succeeded has run.
    fn count_runtime(&mut self, context: &mut Context<'_>, execution: &Execution) {
        if execution.row.outcome.as_ref().is_some_and(|outcome| outcome.reused.is_some()) {
            return;
        }
        let (Some(started), Some(ended)) =
            (execution.row.started_at, execution.row.ended_at.or(execution.row.finished_at))
        else {
            return;
        };
        let Some(task) = self.tasks.get(&execution.row.task) else { return };
        let id = task.batch;
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.runtimes.add(ended.seconds_since(started));
            context.changes.touched_batches.insert(id);
        }
    }

    fn requeue(&mut self, context: &mut Context<'_>, task: TaskId, id: ExecutionId, again: Again) {
        let Some(before) = self.tasks.get(&task).copied() else { return };
        if before.hidden {
            self.remove_task(context, task, TaskState::Pending);
            return;
        }
        self.move_task(context, task, TaskEvent::Requeue(id), None);
        if let Some(unmet) = self.waits_after_end.remove(&task) {
            self.move_task(context, task, TaskEvent::Require { unmet }, None);
        }
        if before.hold == Hold::Person && again == Again::AsItWas {
            if let Some(task) = self.tasks.get_mut(&task) {
                task.hold = before.hold;
            }
            self.move_task(context, task, TaskEvent::Pause, None);
        }
        if let Some(task) = self.tasks.get(&task) {
            self.assign(context, task.batch);
        }
    }
}

/// How a task comes back into its queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// What a person paused stays paused.
    AsItWas,
    /// A person wants it run.
    AsWanted,
}

/// The failure of an execution that could not send its outputs once more. Whatever
/// kept it from that, its command is not run again for it.
fn not_sent_again(failed: Failure) -> Failure {
    let Failure { class, reason } = failed;
    let reason = match class {
        FailureClass::Upload => reason,
        _ => format!("its outputs were not sent again: {reason}"),
    };
    failure(FailureClass::Upload, reason)
}

/// What stands as the failure of an execution that a person ended.
fn person_ended(ending: Ending) -> Failure {
    match ending {
        Ending::Cancel => failure(FailureClass::Cancelled, "cancelled"),
        Ending::Kill => failure(FailureClass::Cancelled, "killed"),
        Ending::Relaunch => failure(FailureClass::Cancelled, "ended since the task was relaunched"),
        Ending::Delete => failure(FailureClass::Lost, "its worker was deleted"),
    }
}
