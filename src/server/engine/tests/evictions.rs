//! Workers that their provider takes away.

use crate::api::link::Verdict;
use crate::domain::execution::FailureClass;
use crate::domain::task::TaskState;
use crate::domain::worker::{SeenState, WorkerState};

use super::super::{Command, Refusal};
use super::bench::*;

fn evict(bench: &mut Bench, worker: crate::domain::WorkerId) -> Result<(), Refusal> {
    let link = Some(bench.link_of(worker));
    let reason = "it was sent SIGUSR2".to_owned();
    bench.apply(Command::EvictWorker { worker, link, reason }).map(drop)
}

#[test]
fn an_evicted_worker_gives_all_back_without_a_retry_or_a_loss() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 3, 0);
    let tasks = [bench.create(0, &[]), bench.create(0, &[]), bench.create(0, &[])];
    bench.accept(tasks[1]);
    bench.start(tasks[2]);
    let executions = tasks.map(|task| bench.execution(task));
    evict(&mut bench, worker).unwrap();
    for (task, execution) in tasks.into_iter().zip(executions) {
        assert_eq!(bench.state(task), Some(TaskState::Pending));
        assert_eq!(bench.state.tasks[&task].losses, 0);
        assert!(bench.orders().contains(&(execution, Verdict::Superseded)));
    }
    assert_eq!(bench.end_of(executions[2]).1, Some(FailureClass::Evicted));
    assert_eq!(bench.state.workers[&worker].state(), WorkerState::Evicted);
    // It is heard, and gets nothing all the same.
    bench.heartbeat(worker).unwrap();
    assert_eq!(bench.state(tasks[0]), Some(TaskState::Pending));
    // Another one takes them at once.
    bench.connect("other", 3, 0);
    assert_eq!(bench.state(tasks[0]), Some(TaskState::Assigned));
}

#[test]
fn an_eviction_said_twice_changes_nothing_more() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    evict(&mut bench, worker).unwrap();
    let reason = "the provider says so".to_owned();
    bench.apply(Command::EvictWorker { worker, link: None, reason }).unwrap();
    assert!(bench.effects.is_empty(), "{:?}", bench.effects);
}

#[test]
fn a_late_word_over_an_old_link_evicts_nobody() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let link = Some(bench.link_of(worker));
    bench.disconnect(worker);
    let command = Command::EvictWorker { worker, link, reason: String::new() };
    assert_eq!(bench.apply(command), Err(Refusal::StaleLink));
    assert_ne!(bench.state.workers[&worker].seen, SeenState::Evicted);
}
