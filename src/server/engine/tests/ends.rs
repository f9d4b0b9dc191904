//! How executions end: retries and budgets per class of failure.

use strum::IntoEnumIterator;

use crate::domain::execution::{ExecutionState, FailureClass};
use crate::domain::task::TaskState;

use super::bench::Bench;

/// Runs a task that may be retried twice until it ends; answers its attempts.
fn attempts_until_it_fails(class: FailureClass) -> u32 {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(2, &[]);
    for attempt in 1..=20 {
        bench.start(task);
        bench.finish(task, Some(class));
        if bench.state(task) == Some(TaskState::Failed) {
            assert_eq!(bench.failure(task), Some(class));
            return attempt;
        }
    }
    20
}

#[test]
fn each_class_of_failure_has_its_budget() {
    for class in FailureClass::iter() {
        let expected = match class {
            FailureClass::Exit
            | FailureClass::Signal
            | FailureClass::Oom
            | FailureClass::Timeout
            | FailureClass::Download => 3,
            // The fifth loss of one task fails it.
            FailureClass::Lost | FailureClass::Refused | FailureClass::Internal => 5,
            FailureClass::Evicted => 20,
            FailureClass::Upload | FailureClass::Cancelled => 1,
        };
        assert_eq!(attempts_until_it_fails(class), expected, "{class}");
    }
}

#[test]
fn losses_use_no_retry() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(1, &[]);
    for _ in 0..4 {
        bench.start(task);
        bench.finish(task, Some(FailureClass::Lost));
    }
    assert_eq!(bench.state.tasks[&task].retries_left, 1);
    bench.start(task);
    bench.finish(task, Some(FailureClass::Exit));
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_success_is_the_end() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(2, &[]);
    let execution = bench.execution(task);
    bench.start(task);
    bench.finish(task, None);
    assert_eq!(bench.state(task), Some(TaskState::Succeeded));
    assert_eq!(bench.end_of(execution), (ExecutionState::Succeeded, None));
    assert_eq!(bench.state.workers[&worker].succeeded, 1);
}

#[test]
fn what_an_agent_refuses_counts_as_refused_and_not_as_failed() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    let execution = bench.execution(task);
    bench.finish(task, Some(FailureClass::Refused));
    assert_eq!(bench.end_of(execution), (ExecutionState::Refused, Some(FailureClass::Refused)));
    assert_eq!(bench.state.workers[&worker].failed, 0);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn attempts_are_numbered_on() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(1, &[]);
    bench.start(task);
    bench.finish(task, Some(FailureClass::Exit));
    let second = bench.execution(task);
    assert_eq!(bench.state.executions[&second].row.attempt, 2);
    assert_eq!(bench.state.tasks[&task].attempts, 2);
}
