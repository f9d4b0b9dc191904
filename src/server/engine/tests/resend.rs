//! Uploads that are tried once more.

use crate::api::task::Unfit;
use crate::domain::execution::{ExecutionState, FailureClass, Phase};
use crate::domain::task::TaskState;
use crate::domain::{ExecutionId, TaskId};

use super::super::change::ExecutionRow;
use super::super::{Command, Effect, Refusal};
use super::bench::Bench;

/// A task whose upload has failed, with the row of its execution.
fn failed(bench: &mut Bench, class: FailureClass) -> (TaskId, Vec<(ExecutionId, ExecutionRow)>) {
    let task = bench.create(3, &[]);
    bench.start(task);
    bench.finish(task, Some(class));
    let rows = bench.changes.executions.iter().map(|(id, row)| (*id, row.clone()));
    let rows = rows.filter(|(_, row)| row.task == task).collect();
    (task, rows)
}

fn retry(
    bench: &mut Bench,
    task: TaskId,
    executions: Vec<(ExecutionId, ExecutionRow)>,
) -> Result<(), Refusal> {
    let command = Command::RetryUploads { tasks: vec![task], unfit: Unfit::Refuse, executions };
    bench.apply(command).map(|_| ())
}

fn has_resend(bench: &Bench) -> bool {
    bench.effects.iter().any(|effect| matches!(effect, Effect::Resend { .. }))
}

#[test]
fn outputs_are_sent_in_the_same_execution_and_take_no_slot() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (task, rows) = failed(&mut bench, FailureClass::Upload);
    let dependent = bench.create(0, &[task]);
    let execution = rows[0].0;
    retry(&mut bench, task, rows).unwrap();
    assert!(has_resend(&bench));
    assert_eq!(bench.state(task), Some(TaskState::Running));
    let live = &bench.state.executions[&execution];
    assert_eq!((live.row.state, live.phase), (ExecutionState::Running, Phase::Uploading));
    let other = bench.create(0, &[]);
    assert_eq!(bench.state(other), Some(TaskState::Assigned));
    bench.finish(task, None);
    assert_eq!(bench.state(task), Some(TaskState::Succeeded));
    assert_eq!(bench.state(dependent), Some(TaskState::Pending));
    assert_eq!(bench.changes.executions[&execution].attempt, 1);
}

#[test]
fn only_a_failed_upload_on_a_worker_that_is_there_is_tried_again() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let (task, rows) = failed(&mut bench, FailureClass::Cancelled);
    assert_eq!(retry(&mut bench, task, rows), Err(Refusal::NoFailedUpload(task)));
    let (task, rows) = failed(&mut bench, FailureClass::Upload);
    assert_eq!(retry(&mut bench, task, Vec::new()), Err(Refusal::NoFailedUpload(task)));
    bench.disconnect(worker);
    assert_eq!(retry(&mut bench, task, rows), Err(Refusal::NotConnected("w".into())));
}

#[test]
fn an_agent_that_comes_back_without_it_is_told_again() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (task, rows) = failed(&mut bench, FailureClass::Upload);
    retry(&mut bench, task, rows).unwrap();
    bench.connect("w", 1, 0);
    assert!(has_resend(&bench));
    assert_eq!(bench.state(task), Some(TaskState::Running));
}

#[test]
fn a_loss_fails_the_upload_and_runs_nothing_again() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (task, rows) = failed(&mut bench, FailureClass::Upload);
    retry(&mut bench, task, rows).unwrap();
    bench.finish(task, Some(FailureClass::Lost));
    assert_eq!(bench.state(task), Some(TaskState::Failed));
    assert_eq!(bench.failure(task), Some(FailureClass::Upload));
}
