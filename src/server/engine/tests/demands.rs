//! Priorities, and tasks that ask for much.

use crate::api::worker::UpdateWorker;
use crate::domain::TaskId;
use crate::domain::demand::Demand;
use crate::domain::task::TaskState;

use super::super::command::NewTask;
use super::super::{Command, Reply};
use super::bench::{Bench, new_task};

fn asking(cpu: u32, priority: i32) -> NewTask {
    NewTask { demand: Demand { cpu, memory_mib: 0 }, priority, ..new_task("Default", 0, &[]) }
}

fn create(bench: &mut Bench, new: NewTask) -> TaskId {
    let reply = bench.apply(Command::CreateTasks(vec![new]));
    let Ok(Reply::Created { first, .. }) = reply else { panic!("{reply:?}") };
    first
}

#[test]
fn higher_priorities_come_first_and_older_tasks_among_equals() {
    let mut bench = Bench::new();
    let low = create(&mut bench, asking(0, -1));
    let (old, young) = (create(&mut bench, asking(0, 0)), create(&mut bench, asking(0, 0)));
    let high = create(&mut bench, asking(1, 5));
    bench.connect("w", 1, 0);
    for next in [high, old, young, low] {
        assert_eq!(bench.state(next), Some(TaskState::Assigned));
        bench.start(next);
        bench.finish(next, None);
    }
}

#[test]
fn a_demand_takes_its_share_of_the_worker() {
    // Of 4 cores in 4 slots.
    let mut bench = Bench::new();
    let worker = bench.connect("w", 4, 0);
    let big = create(&mut bench, asking(3, 0));
    let (small, late) = (create(&mut bench, asking(0, 0)), create(&mut bench, asking(0, 0)));
    assert_eq!(bench.state.workers[&worker].held, 4);
    assert_eq!(bench.state(small), Some(TaskState::Assigned));
    assert_eq!(bench.state(late), Some(TaskState::Pending));
    bench.start(big);
    bench.finish(big, None);
    assert_eq!(bench.state(late), Some(TaskState::Assigned));
}

#[test]
fn what_fits_nowhere_says_why() {
    let mut bench = Bench::new();
    bench.connect("w", 4, 0);
    let task = create(&mut bench, asking(5, 0));
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    let why = bench.state.live_task(task).why.unwrap();
    assert_eq!(why, "worker w is too small: the task asks for 5 cores");
}

#[test]
fn a_task_that_was_passed_over_for_long_gets_a_worker_of_its_own() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 4, 0);
    let mut running: Vec<TaskId> = (0..4).map(|_| create(&mut bench, asking(0, 0))).collect();
    for task in &running {
        bench.start(*task);
    }
    let big = create(&mut bench, asking(4, 0));
    let mut served_after = None;
    for minute in 0..30 {
        // One small task ends and another one comes: there is never room for the big one.
        let small = create(&mut bench, asking(0, 0));
        let ending = running.remove(0);
        bench.finish(ending, None);
        if bench.state(small) == Some(TaskState::Assigned) {
            bench.start(small);
            running.push(small);
        }
        if bench.state(big) == Some(TaskState::Assigned) {
            served_after = Some(minute);
            break;
        }
        bench.pass_with(60, &[worker]);
    }
    let minutes = served_after.expect("the big task starved");
    assert!((10..=15).contains(&minutes), "{minutes}");
    // What came in the meantime goes on when it is done.
    bench.start(big);
    bench.finish(big, None);
    assert_eq!(bench.state.workers[&worker].reserved_for, None);
    assert_eq!(bench.state.workers[&worker].held, 4);
}

#[test]
fn a_reservation_ends_with_its_task() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 4, 0);
    let running = create(&mut bench, asking(0, 0));
    bench.start(running);
    let big = create(&mut bench, asking(4, 0));
    bench.pass_with(700, &[worker]);
    assert_eq!(bench.state.workers[&worker].reserved_for, Some(big));
    let small = create(&mut bench, asking(0, 0));
    assert_eq!(bench.state(small), Some(TaskState::Pending));
    bench.cancel(big).unwrap();
    bench.pass_with(5, &[worker]);
    assert_eq!(bench.state(small), Some(TaskState::Assigned));
}

#[test]
fn more_slots_make_room_for_what_was_stuck() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let running = create(&mut bench, asking(0, 0));
    bench.start(running);
    let big = create(&mut bench, asking(3, 0));
    assert_eq!(bench.state(big), Some(TaskState::Pending));
    bench.update(worker, UpdateWorker { concurrency: Some(8), ..UpdateWorker::default() });
    assert_eq!(bench.state(big), Some(TaskState::Assigned));
}

#[test]
fn less_room_gives_back_what_has_not_begun() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 3);
    let tasks: Vec<TaskId> = (0..4).map(|_| create(&mut bench, asking(0, 0))).collect();
    bench.start(tasks[0]);
    bench.accept(tasks[1]);
    bench.accept(tasks[2]);
    bench.update(worker, UpdateWorker { prefetch: Some(0), ..UpdateWorker::default() });
    assert_eq!(bench.state(tasks[3]), Some(TaskState::Pending), "it was not taken yet");
    let given_back = [bench.execution(tasks[2]), bench.execution(tasks[1])];
    let verdict = crate::api::link::Verdict::GiveBack;
    let mut orders = bench.orders();
    orders.retain(|(_, order)| *order == verdict);
    assert_eq!(orders, given_back.map(|execution| (execution, verdict)));
    bench.finish(tasks[2], Some(crate::domain::execution::FailureClass::Refused));
    assert_eq!(bench.state(tasks[2]), Some(TaskState::Pending));
    assert_eq!(bench.state(tasks[0]), Some(TaskState::Running));
}
