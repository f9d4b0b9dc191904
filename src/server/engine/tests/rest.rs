//! Workers of the original.

use crate::api::link::Verdict;
use crate::api::task::Unfit;
use crate::domain::execution::{ExecutionState, Keepsake};
use crate::domain::task::{Hold, TaskState};
use crate::domain::worker::{Machine, Protocol, SeenState, WantedState, WorkerSettings};
use crate::domain::{ExecutionId, TaskId, WorkerId};

use super::super::command::{NewTask, NewWorker};
use super::super::{Command, Refusal, Reply};
use super::bench::{Bench, new_task};

fn register(bench: &mut Bench, name: &str, wanted: WantedState) -> WorkerId {
    let machine = Machine {
        hostname: "there".to_owned(),
        machine_id: "rest:there".to_owned(),
        protocol: Protocol::Rest,
        ..Machine::default()
    };
    let settings =
        WorkerSettings { batch: "Default".parse().unwrap(), concurrency: 2, prefetch: 0 };
    let name = name.into();
    let new = NewWorker { name, machine, settings, wanted, version: "1".to_owned() };
    let reply = bench.apply(Command::RegisterWorker(Box::new(new))).unwrap();
    let Reply::Worker(id) = reply else { panic!("{reply:?}") };
    id
}

fn attach(bench: &mut Bench, worker: WorkerId) {
    let link = bench.new_link();
    bench.apply(Command::Attach { worker, link }).unwrap();
}

fn freeze(bench: &mut Bench, worker: WorkerId, execution: ExecutionId) -> Result<Reply, Refusal> {
    let link = bench.link_of(worker);
    bench.apply(Command::Freeze { worker, link, execution })
}

#[test]
fn an_old_worker_is_made_once_and_gets_work_when_it_speaks() {
    let mut bench = Bench::new();
    let worker = register(&mut bench, "old", WantedState::Running);
    assert_eq!(register(&mut bench, "old", WantedState::Paused), worker);
    assert_ne!(register(&mut bench, "other", WantedState::Paused), worker);
    let task = bench.create(0, &[]);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    attach(&mut bench, worker);
    assert_eq!(bench.worker_of(task), worker);
}

#[test]
fn an_old_worker_is_lost_after_half_an_hour() {
    let mut bench = Bench::new();
    let worker = register(&mut bench, "old", WantedState::Running);
    attach(&mut bench, worker);
    let (accepted, assigned) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.accept(accepted);
    bench.pass(16);
    assert_eq!(bench.state.workers[&worker].seen, SeenState::Offline);
    assert_eq!(bench.state(assigned), Some(TaskState::Pending));
    bench.pass(1_780);
    assert_eq!(bench.state(accepted), Some(TaskState::Accepted));
    bench.pass(10);
    assert_eq!(bench.state(accepted), Some(TaskState::Pending));
}

#[test]
fn only_what_is_wanted_passes_the_fence_and_by_the_newest_specification() {
    let mut bench = Bench::new();
    let worker = register(&mut bench, "old", WantedState::Running);
    attach(&mut bench, worker);
    let (wanted, cancelled) = (bench.create(0, &[]), bench.create(0, &[]));
    let execution = bench.execution(wanted);
    let early = freeze(&mut bench, worker, execution);
    assert_eq!(early, Err(Refusal::NotToStart(execution)));
    bench.accept(wanted);
    bench.accept(cancelled);
    freeze(&mut bench, worker, execution).unwrap();
    let ending = bench.execution(cancelled);
    bench.cancel(cancelled).unwrap();
    let late = freeze(&mut bench, worker, ending);
    assert_eq!(late, Err(Refusal::NotToStart(ending)));
    bench.apply(Command::PauseTasks { tasks: vec![wanted], unfit: Unfit::Refuse }).unwrap();
    let held = freeze(&mut bench, worker, execution);
    assert_eq!(held, Err(Refusal::NotToStart(execution)));
}

#[test]
fn what_an_old_worker_missed_is_told_when_it_speaks_again() {
    let mut bench = Bench::new();
    let worker = register(&mut bench, "old", WantedState::Running);
    attach(&mut bench, worker);
    let task = bench.create(0, &[]);
    bench.start(task);
    let execution = bench.execution(task);
    let pid = Some("4711".to_owned());
    let keepsake = Keepsake { pid: pid.clone(), output_files: None };
    bench.apply(Command::Keep { execution, keepsake }).unwrap();
    bench.disconnect(worker);
    bench.cancel(task).unwrap();
    attach(&mut bench, worker);
    assert_eq!(bench.orders(), [(execution, Verdict::Cancelled)]);
    let files = Keepsake { pid: None, output_files: Some("a b".to_owned()) };
    bench.apply(Command::Keep { execution, keepsake: files }).unwrap();
    let kept = bench.state.executions[&execution].row.keepsake.clone().unwrap();
    assert_eq!(*kept, Keepsake { pid, output_files: Some("a b".to_owned()) });
}

#[test]
fn a_task_is_given_to_the_worker_that_was_chosen_or_to_none() {
    let mut bench = Bench::new();
    let chosen = register(&mut bench, "old", WantedState::Running);
    let new = new_task("elsewhere", 0, &[]);
    bench.apply(Command::CreateTasks(vec![new])).unwrap();
    let task = TaskId(1);
    let assign = Command::AssignTask { task, worker: chosen };
    assert!(matches!(bench.apply(assign.clone()), Err(Refusal::TakesNothing(_))));
    attach(&mut bench, chosen);
    bench.apply(assign.clone()).unwrap();
    assert_eq!(bench.worker_of(task), chosen);
    assert_eq!(bench.state.executions[&bench.execution(task)].row.state, ExecutionState::Pending);
    assert_eq!(bench.apply(assign), Err(Refusal::NotPending(task, TaskState::Assigned)));
}

#[test]
fn a_task_that_is_made_held_never_starts_by_itself() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let new = NewTask { hold: Hold::Person, ..new_task("Default", 0, &[]) };
    bench.apply(Command::CreateTasks(vec![new])).unwrap();
    assert_eq!(bench.state(TaskId(1)), Some(TaskState::Paused));
    bench.apply(Command::ResumeTasks { tasks: vec![TaskId(1)], unfit: Unfit::Refuse }).unwrap();
    assert_eq!(bench.state(TaskId(1)), Some(TaskState::Assigned));
}
