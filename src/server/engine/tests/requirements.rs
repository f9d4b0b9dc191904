//! Tasks that wait for others.

use crate::api::task::Unfit;
use crate::domain::TaskId;
use crate::domain::execution::FailureClass;
use crate::domain::task::TaskState;

use super::super::{Command, Refusal};
use super::bench::{Bench, new_task};

#[test]
fn a_task_waits_until_all_that_it_requires_has_succeeded() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let (one, two) = (bench.create(0, &[]), bench.create(0, &[]));
    let after = bench.create(0, &[one, two, one]);
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
    bench.finish(one, None);
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
    bench.finish(two, None);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn a_requirement_that_is_met_already_holds_nothing_up() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let one = bench.create(0, &[]);
    bench.finish(one, None);
    let after = bench.create(0, &[one]);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn a_requirement_that_does_not_exist_is_refused() {
    let mut bench = Bench::new();
    let unknown = TaskId(9);
    let create = Command::CreateTasks(vec![
        new_task("Default", 0, &[]),
        new_task("elsewhere", 0, &[unknown]),
    ]);
    assert_eq!(bench.apply(create), Err(Refusal::NoTask(unknown)));
}

#[test]
fn a_failed_requirement_keeps_its_dependents_waiting_until_it_is_relaunched() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    bench.start(one);
    bench.finish(one, Some(FailureClass::Exit));
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
    bench.relaunch(one);
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
    bench.finish(one, None);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn relaunching_a_succeeded_requirement_does_not_pull_back_who_was_released() {
    let mut bench = Bench::new();
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    bench.connect("w", 1, 0);
    bench.finish(one, None);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
    bench.relaunch(one);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn a_dependent_that_still_waits_waits_for_the_new_run_of_a_requirement() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (one, two) = (bench.create(0, &[]), bench.create(0, &[]));
    let after = bench.create(0, &[one, two]);
    bench.finish(one, None);
    bench.relaunch(one);
    bench.finish(two, None);
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
    bench.finish(one, None);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn a_relaunched_dependent_waits_for_what_has_not_succeeded() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    bench.cancel(after).unwrap();
    bench.relaunch(after);
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
    bench.finish(one, None);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn tasks_relaunched_together_run_in_the_order_of_their_requirements() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    bench.finish(one, None);
    bench.finish(after, None);
    bench.apply(Command::RelaunchTasks { tasks: vec![after, one], unfit: Unfit::Refuse }).unwrap();
    assert_eq!(bench.state(one), Some(TaskState::Assigned));
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
}
