//! Deleting tasks, with those that require them.

use crate::api::task::{Dependents, Unfit};
use crate::domain::execution::FailureClass;
use crate::domain::task::TaskState;

use super::super::{Command, Effect, Refusal};
use super::bench::Bench;

#[test]
fn a_task_without_execution_goes_at_once() {
    let mut bench = Bench::new();
    let task = bench.create(0, &[]);
    bench.delete(task, Dependents::Refuse).unwrap();
    assert!(bench.effects.contains(&Effect::Ended(task)));
    assert!(bench.state.tasks.is_empty());
    assert_eq!(bench.delete(task, Dependents::Refuse), Err(Refusal::NoTask(task)));
}

#[test]
fn a_running_task_is_hidden_and_goes_when_it_has_ended() {
    for class in [None, Some(FailureClass::Exit), Some(FailureClass::Lost)] {
        let mut bench = Bench::new();
        bench.connect("w", 1, 0);
        let task = bench.create(5, &[]);
        bench.start(task);
        bench.delete(task, Dependents::Refuse).unwrap();
        assert_eq!(bench.orders(), []);
        assert_eq!(bench.state(task), None);
        assert_eq!(bench.cancel(task), Err(Refusal::NoTask(task)));
        assert!(bench.state.tasks[&task].hidden);
        bench.finish(task, class);
        assert!(bench.state.tasks.is_empty());
        assert!(bench.changes.deleted_tasks.iter().any(|deleted| deleted.id == task));
    }
}

#[test]
fn a_hidden_task_whose_worker_goes_silent_goes_too() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.delete(task, Dependents::Refuse).unwrap();
    bench.disconnect(worker);
    bench.pass(16);
    assert!(bench.state.tasks.is_empty());
}

#[test]
fn a_required_task_is_not_deleted_while_another_waits() {
    let mut bench = Bench::new();
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    let refusal = Refusal::HasDependents { task: one, count: 1, example: after };
    assert_eq!(bench.delete(one, Dependents::Refuse), Err(refusal));
    let both = Command::DeleteTasks {
        tasks: vec![one, after],
        dependents: Dependents::Refuse,
        unfit: Unfit::Refuse,
    };
    bench.apply(both).unwrap();
    assert!(bench.state.tasks.is_empty());
}

#[test]
fn a_cascade_takes_all_that_wait_with_it() {
    let mut bench = Bench::new();
    let one = bench.create(0, &[]);
    let two = bench.create(0, &[one]);
    bench.create(0, &[two]);
    let other = bench.create(0, &[]);
    bench.delete(one, Dependents::Cascade).unwrap();
    assert_eq!(bench.state.tasks.iter().map(|(id, _)| id).collect::<Vec<_>>(), [other]);
}

#[test]
fn what_a_detached_task_required_and_did_not_get_keeps_it_blocked() {
    let mut bench = Bench::new();
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    bench.delete(one, Dependents::Detach).unwrap();
    bench.connect("w", 1, 0);
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
    bench.cancel(after).unwrap();
    bench.relaunch(after);
    assert_eq!(bench.state(after), Some(TaskState::Waiting));
}

#[test]
fn a_succeeded_requirement_that_is_deleted_counts_as_met() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let (one, two) = (bench.create(0, &[]), bench.create(0, &[]));
    let after = bench.create(0, &[one, two]);
    bench.finish(one, None);
    let refused = bench.delete(one, Dependents::Refuse);
    assert!(matches!(refused, Err(Refusal::HasDependents { .. })));
    bench.delete(one, Dependents::Detach).unwrap();
    bench.finish(two, None);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn a_requirement_that_succeeds_after_it_was_deleted_releases_who_waited() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    bench.start(one);
    bench.delete(one, Dependents::Detach).unwrap();
    bench.finish(one, None);
    assert_eq!(bench.state(after), Some(TaskState::Assigned));
}

#[test]
fn a_task_that_is_named_twice_is_deleted_once() {
    let mut bench = Bench::new();
    let task = bench.create(0, &[]);
    let twice = Command::DeleteTasks {
        tasks: vec![task, task],
        dependents: Dependents::Refuse,
        unfit: Unfit::Refuse,
    };
    bench.apply(twice).unwrap();
    assert_eq!(bench.changes.deleted_tasks.len(), 1);
}
