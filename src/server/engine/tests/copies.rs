//! A start with a copy of the database, silent workers with limits, and workers
//! that leave.

use crate::api::worker::Orphan;
use crate::domain::execution::{ExecutionState, FailureClass, Phase};
use crate::domain::signal::Signal;
use crate::domain::task::TaskState;
use crate::domain::worker::SeenState;
use crate::domain::{ExecutionId, TaskId};

use super::super::command::Pulse;
use super::super::{Command, Refusal};
use super::bench::Bench;
use crate::api::task::Unfit;

fn orphan(execution: u64, task: TaskId) -> Orphan {
    Orphan {
        execution: ExecutionId(execution),
        task,
        own_store: true,
        phase: Phase::Running,
        started_at: None,
        ended: false,
        command: "true".to_owned(),
    }
}

/// A state with two workers and a task that is ready, as a copy.
fn copied() -> (Bench, TaskId) {
    let mut bench = Bench::new();
    for name in ["a", "b"] {
        let worker = bench.connect(name, 1, 0);
        bench.disconnect(worker);
    }
    let task = bench.create(0, &[]);
    // Ids that the original may have given out.
    bench.state.next.execution = ExecutionId(1_000);
    bench.state.settle(bench.now.monotonic);
    (bench, task)
}

#[test]
fn a_copy_gives_nothing_out_before_it_knows_what_runs() {
    let (mut bench, task) = copied();
    let first = bench.connect("a", 1, 0);
    bench.heartbeat(first).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    assert!(bench.state.live_task(task).why.unwrap().contains("copy"));
    let second = bench.connect("b", 1, 0);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    bench.heartbeat(second).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_copy_waits_for_no_worker_that_is_offline() {
    let (mut bench, task) = copied();
    let first = bench.connect("a", 1, 0);
    bench.pass_with(15, &[first]);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn what_runs_already_is_taken_over_and_not_run_beside_itself() {
    let (mut bench, task) = copied();
    let later = bench.create(0, &[]);
    let first = bench.connect("a", 1, 0);
    let second = bench.connect("b", 1, 0);
    bench.heartbeat(second).unwrap();
    let orphans = vec![orphan(45, task), orphan(46, TaskId(999))];
    let pulse = Pulse { orphans, ..bench.pulse(first) };
    let link = bench.link_of(first);
    bench.apply(Command::Heartbeat { worker: first, link, pulse }).unwrap();
    assert_eq!(bench.execution(task), ExecutionId(45));
    assert_eq!(bench.worker_of(task), first);
    assert_eq!(bench.worker_of(later), second, "the others are given out");
    assert_eq!(bench.state.workers[&first].orphans.len(), 1, "nobody here wants the other");
}

#[test]
fn a_limit_ends_what_a_silent_worker_ran() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 2, 0);
    let (running, suspended) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.start(running);
    bench.start(suspended);
    let pause = Command::PauseTasks { tasks: vec![suspended], unfit: Unfit::Refuse };
    bench.apply(pause).unwrap();
    let execution = bench.execution(running);
    bench.disconnect(worker);
    bench.pass(30);
    assert!(bench.state.running_in_silence(bench.now.monotonic).is_empty());
    bench.pass(40);
    let silent = bench.state.running_in_silence(bench.now.monotonic);
    assert_eq!(silent.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [execution]);
    let other = bench.execution(suspended);
    bench.apply(Command::TimeOut(vec![(execution, 5), (other, 5)])).unwrap();
    let timeout = Some(FailureClass::Timeout);
    assert_eq!(bench.end_of(execution), (ExecutionState::Failed, timeout));
    assert_eq!(bench.state(running), Some(TaskState::Failed));
    assert_eq!(bench.state(suspended), Some(TaskState::Paused), "its time stands still");
}

#[test]
fn a_signal_that_cannot_be_told_is_refused() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let signal = |signal| Command::SignalTasks { tasks: vec![task], signal, unfit: Unfit::Refuse };
    bench.apply(signal(Signal::Usr1)).unwrap();
    bench.disconnect(worker);
    assert_eq!(bench.apply(signal(Signal::Usr1)), Err(Refusal::NotConnected("w".into())));
    // An end is remembered.
    bench.apply(signal(Signal::Term)).unwrap();
}

#[test]
fn a_drained_worker_is_offline_as_soon_as_it_has_left() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let link = bench.link_of(worker);
    let pulse = Pulse { draining: true, ..bench.pulse(worker) };
    bench.apply(Command::Heartbeat { worker, link, pulse }).unwrap();
    bench.disconnect(worker);
    assert_eq!(bench.state.workers[&worker].seen, SeenState::Online, "it has not left yet");
    let held = bench.held(task, true);
    bench.greet("w", 1, 0, vec![held]);
    bench.finish(task, None);
    let link = bench.link_of(worker);
    let pulse = Pulse { draining: true, ..bench.pulse(worker) };
    bench.apply(Command::Heartbeat { worker, link, pulse }).unwrap();
    bench.disconnect(worker);
    assert_eq!(bench.state.workers[&worker].seen, SeenState::Offline);
}
