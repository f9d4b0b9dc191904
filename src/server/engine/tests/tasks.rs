//! Assignment, and what people do to tasks in every state.

use crate::api::link::{ReportEvent, Verdict};
use crate::api::task::Unfit;
use crate::domain::TaskId;
use crate::domain::execution::{ExecutionState, FailureClass};
use crate::domain::task::TaskState;

use super::super::{Command, Refusal};
use super::bench::{Bench, finished};

/// A bench with one worker of one slot, and a task that it runs.
fn running() -> (Bench, TaskId) {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(3, &[]);
    bench.start(task);
    assert_eq!(bench.state(task), Some(TaskState::Running));
    (bench, task)
}

#[test]
fn the_oldest_task_goes_first() {
    let mut bench = Bench::new();
    let tasks: Vec<TaskId> = (0..3).map(|_| bench.create(0, &[])).collect();
    bench.connect("w", 1, 0);
    for (position, task) in tasks.iter().enumerate() {
        assert_eq!(bench.state(*task), Some(TaskState::Assigned));
        for later in &tasks[position + 1..] {
            assert_eq!(bench.state(*later), Some(TaskState::Pending));
        }
        bench.finish(*task, None);
    }
}

#[test]
fn a_retried_task_keeps_its_place_before_younger_ones() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (first, second) = (bench.create(1, &[]), bench.create(0, &[]));
    bench.start(first);
    bench.finish(first, Some(FailureClass::Exit));
    assert_eq!(bench.state(first), Some(TaskState::Assigned));
    assert_eq!(bench.state(second), Some(TaskState::Pending));
}

#[test]
fn workers_of_different_size_are_loaded_in_proportion() {
    let mut bench = Bench::new();
    let small = bench.connect("small", 2, 0);
    let large = bench.connect("large", 8, 0);
    for _ in 0..5 {
        bench.create(0, &[]);
    }
    assert_eq!(bench.state.workers[&small].held, 1);
    assert_eq!(bench.state.workers[&large].held, 4);
}

#[test]
fn free_slots_are_filled_before_anything_is_fetched_ahead() {
    let mut bench = Bench::new();
    let fetches = bench.connect("fetches", 1, 4);
    let plain = bench.connect("plain", 3, 0);
    for _ in 0..4 {
        bench.create(0, &[]);
    }
    assert_eq!(bench.state.workers[&fetches].held, 1);
    assert_eq!(bench.state.workers[&plain].held, 3);
    bench.create(0, &[]);
    assert_eq!(bench.state.workers[&fetches].held, 2);
}

#[test]
fn an_upload_frees_its_place() {
    let (mut bench, task) = running();
    let next = bench.create(0, &[]);
    assert_eq!(bench.state(next), Some(TaskState::Pending));
    assert_eq!(bench.tell(task, ReportEvent::Uploading { exit_code: Some(0) }), Verdict::Keep);
    assert_eq!(bench.state(task), Some(TaskState::Running));
    assert_eq!(bench.state(next), Some(TaskState::Assigned));
    bench.finish(task, None);
    assert_eq!(bench.state(task), Some(TaskState::Succeeded));
}

#[test]
fn a_waiting_or_pending_task_is_cancelled_at_once() {
    let mut bench = Bench::new();
    let pending = bench.create(3, &[]);
    let waiting = bench.create(3, &[pending]);
    for task in [waiting, pending] {
        bench.cancel(task).unwrap();
        assert_eq!(bench.state(task), Some(TaskState::Failed));
        assert_eq!(bench.failure(task), Some(FailureClass::Cancelled));
    }
}

#[test]
fn an_assigned_task_is_cancelled_at_once_and_its_place_is_free() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (task, next) = (bench.create(3, &[]), bench.create(0, &[]));
    let execution = bench.execution(task);
    bench.cancel(task).unwrap();
    assert_eq!(bench.orders(), [(execution, Verdict::Superseded)]);
    assert_eq!(bench.state(task), Some(TaskState::Failed));
    assert_eq!(bench.end_of(execution), (ExecutionState::Refused, Some(FailureClass::Cancelled)));
    assert_eq!(bench.state(next), Some(TaskState::Assigned));
}

#[test]
fn a_task_under_way_is_cancelled_when_its_agent_has_ended_it() {
    for started in [false, true] {
        let mut bench = Bench::new();
        bench.connect("w", 1, 0);
        let task = bench.create(3, &[]);
        bench.accept(task);
        if started {
            bench.start(task);
        }
        let before = bench.state(task);
        let execution = bench.execution(task);
        bench.cancel(task).unwrap();
        assert_eq!(bench.orders(), [(execution, Verdict::Cancelled)]);
        assert_eq!(bench.state(task), before);
        bench.finish(task, Some(FailureClass::Signal));
        assert_eq!(bench.state(task), Some(TaskState::Failed));
        assert_eq!(bench.failure(task), Some(FailureClass::Cancelled));
    }
}

#[test]
fn a_cancelled_task_is_cancelled_even_if_its_command_ended_well() {
    let (mut bench, task) = running();
    bench.cancel(task).unwrap();
    bench.finish(task, None);
    assert_eq!(bench.failure(task), Some(FailureClass::Cancelled));
}

#[test]
fn an_ended_task_cannot_be_cancelled() {
    let (mut bench, task) = running();
    bench.finish(task, None);
    let refusal = Refusal::TaskEnded(task, TaskState::Succeeded);
    assert_eq!(bench.cancel(task), Err(refusal));
    assert_eq!(bench.cancel(TaskId(99)), Err(Refusal::NoTask(TaskId(99))));
}

#[test]
fn one_task_that_cannot_be_cancelled_saves_all_of_the_request() {
    let (mut bench, ended) = running();
    bench.finish(ended, None);
    let other = bench.create(0, &[]);
    let refused =
        bench.apply(Command::CancelTasks { tasks: vec![other, ended], unfit: Unfit::Refuse });
    assert!(matches!(refused, Err(Refusal::TaskEnded(..))));
    assert_eq!(bench.state(other), Some(TaskState::Assigned));
}

#[test]
fn relaunching_a_pending_or_waiting_task_leaves_it_there() {
    let mut bench = Bench::new();
    let pending = bench.create(0, &[]);
    let waiting = bench.create(0, &[pending]);
    bench.relaunch(pending);
    bench.relaunch(waiting);
    assert_eq!(bench.state(pending), Some(TaskState::Pending));
    assert_eq!(bench.state(waiting), Some(TaskState::Waiting));
}

#[test]
fn relaunching_an_assigned_task_takes_it_back_first() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    let first = bench.execution(task);
    bench.relaunch(task);
    assert_eq!(bench.end_of(first), (ExecutionState::Refused, Some(FailureClass::Refused)));
    assert_ne!(bench.execution(task), first);
}

#[test]
fn relaunching_a_running_task_ends_its_execution_first_and_renews_its_budgets() {
    let (mut bench, task) = running();
    bench.finish(task, Some(FailureClass::Exit));
    bench.start(task);
    bench.finish(task, Some(FailureClass::Lost));
    bench.start(task);
    let first = bench.execution(task);
    bench.relaunch(task);
    assert_eq!(bench.orders(), [(first, Verdict::Cancelled)]);
    assert_eq!(bench.execution(task), first);
    assert_eq!(bench.state(task), Some(TaskState::Running));
    bench.finish(task, Some(FailureClass::Exit));
    assert_eq!(bench.end_of(first), (ExecutionState::Failed, Some(FailureClass::Cancelled)));
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
    let relaunched = bench.state.tasks[&task];
    assert_eq!((relaunched.retries_left, relaunched.losses), (3, 0));
}

#[test]
fn relaunching_an_ended_task_queues_it_with_fresh_budgets() {
    for class in [None, Some(FailureClass::Exit)] {
        let (mut bench, task) = running();
        bench.finish(task, Some(FailureClass::Exit));
        for _ in 0..3 {
            bench.start(task);
            bench.finish(task, class);
            if class.is_none() {
                break;
            }
        }
        assert!(bench.state(task).unwrap().is_final());
        bench.relaunch(task);
        assert_eq!(bench.state(task), Some(TaskState::Assigned));
        assert_eq!(bench.state.tasks[&task].retries_left, 3);
    }
}

#[test]
fn the_last_word_of_a_person_counts() {
    let (mut bench, task) = running();
    bench.relaunch(task);
    bench.cancel(task).unwrap();
    bench.finish(task, Some(FailureClass::Signal));
    assert_eq!(bench.state(task), Some(TaskState::Failed));

    let (mut bench, task) = running();
    bench.cancel(task).unwrap();
    bench.relaunch(task);
    bench.finish(task, Some(FailureClass::Signal));
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn an_end_that_was_under_way_comes_before_a_cancel() {
    let (mut bench, task) = running();
    let execution = bench.execution(task);
    let worker = bench.worker_of(task);
    bench.finish(task, None);
    assert!(bench.cancel(task).is_err());
    let verdict = bench.report(worker, execution, task, finished(None));
    assert_eq!(verdict, Verdict::Settled);
    assert_eq!(bench.state(task), Some(TaskState::Succeeded));
}
