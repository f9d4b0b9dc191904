//! What happens when workers go silent.

use crate::domain::execution::{ExecutionState, FailureClass};
use crate::domain::task::TaskState;
use crate::domain::worker::SeenState;
use crate::domain::{TaskId, WorkerId};

use super::bench::Bench;

#[test]
fn a_silent_worker_gives_back_only_what_it_has_not_taken() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 3, 0);
    let tasks: Vec<TaskId> = (0..3).map(|_| bench.create(0, &[])).collect();
    bench.accept(tasks[1]);
    bench.start(tasks[2]);
    let given_back = bench.execution(tasks[0]);
    bench.pass(15);
    assert_eq!(bench.state(tasks[0]), Some(TaskState::Assigned));
    bench.pass(1);
    assert_eq!(bench.state.workers[&worker].seen, SeenState::Offline);
    let states: Vec<_> = tasks.iter().filter_map(|task| bench.state(*task)).collect();
    assert_eq!(states, [TaskState::Pending, TaskState::Accepted, TaskState::Running]);
    assert_eq!(bench.end_of(given_back), (ExecutionState::Refused, Some(FailureClass::Refused)));
    assert_eq!(bench.state.tasks[&tasks[0]].losses, 0);
}

#[test]
fn a_worker_that_is_heard_again_gets_work() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    bench.pass(16);
    let task = bench.create(0, &[]);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    bench.heartbeat(worker).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn ten_minutes_of_silence_lose_what_runs() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let (accepted, running) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.accept(accepted);
    bench.start(running);
    let execution = bench.execution(running);
    bench.pass(600);
    assert_eq!(bench.state(running), Some(TaskState::Running));
    bench.pass(1);
    for task in [accepted, running] {
        assert_eq!(bench.state(task), Some(TaskState::Pending));
        assert_eq!(bench.state.tasks[&task].losses, 1);
    }
    assert_eq!(bench.end_of(execution), (ExecutionState::Failed, Some(FailureClass::Lost)));
}

#[test]
fn nothing_is_lost_where_losses_are_switched_off() {
    let mut bench = Bench::new();
    bench.state.policy.lost_after = None;
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    bench.pass(1_000_000);
    assert_eq!(bench.state(task), Some(TaskState::Running));
}

/// As many workers as tasks, each of which runs one.
fn busy(bench: &mut Bench, count: usize) -> (Vec<WorkerId>, Vec<TaskId>) {
    let workers = (0..count).map(|number| bench.connect(&format!("w{number}"), 1, 0)).collect();
    let tasks: Vec<TaskId> = (0..count).map(|_| bench.create(0, &[])).collect();
    for task in &tasks {
        bench.start(*task);
    }
    (workers, tasks)
}

#[test]
fn when_most_go_silent_together_nothing_is_lost_until_one_returns() {
    let mut bench = Bench::new();
    let (workers, tasks) = busy(&mut bench, 4);
    bench.pass_with(700, &workers[3..]);
    let running = |bench: &Bench| {
        let states = tasks.iter().filter(|task| bench.state(**task) == Some(TaskState::Running));
        states.count()
    };
    assert_eq!(running(&bench), 4);
    bench.heartbeat(workers[0]).unwrap();
    bench.pass(1);
    assert_eq!(running(&bench), 2);
}

#[test]
fn the_half_that_goes_silent_is_lost() {
    let mut bench = Bench::new();
    let (workers, tasks) = busy(&mut bench, 4);
    bench.pass_with(700, &workers[2..]);
    for (position, task) in tasks.iter().enumerate() {
        let expected = if position < 2 { TaskState::Pending } else { TaskState::Running };
        assert_eq!(bench.state(*task), Some(expected));
    }
}

#[test]
fn few_workers_are_not_a_network() {
    let mut bench = Bench::new();
    let (_, tasks) = busy(&mut bench, 3);
    bench.pass(700);
    assert!(tasks.iter().all(|task| bench.state(*task) == Some(TaskState::Pending)));
}

#[test]
fn leases_start_anew_after_a_restart() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    bench.now.monotonic = bench.now.monotonic.after(std::time::Duration::from_hours(1));
    bench.state.restart_leases(bench.now.monotonic);
    bench.pass(600);
    assert_eq!(bench.state(task), Some(TaskState::Running));
}
