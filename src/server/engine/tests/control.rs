//! Batches as a whole, workers out of service, and orphans.

use crate::api::batch::{DeleteBatch, DeleteRunning, Setting, UpdateBatch};
use crate::api::link::Verdict;
use crate::api::task::Dependents;
use crate::api::worker::{Orphan, UpdateWorker};
use crate::domain::batch::LostAfter;
use crate::domain::execution::{ExecutionState, FailureClass, Phase};
use crate::domain::task::{TaskState, Until};
use crate::domain::worker::{WantedState, WorkerState};
use crate::domain::{BatchName, ExecutionId, TaskId, WorkerId};

use super::super::command::{NewTask, Pulse};
use super::super::state::Requirement;
use super::super::{Command, Refusal, Reply};
use super::bench::{Bench, new_task};

fn name(text: &str) -> BatchName {
    text.parse().unwrap()
}

fn delete(bench: &mut Bench, batch: &str, how: DeleteBatch) -> Result<Reply, Refusal> {
    bench.apply(Command::DeleteBatch { batch: name(batch), how })
}

fn create_in(bench: &mut Bench, batch: &str, after: &[TaskId]) -> TaskId {
    let reply = bench.apply(Command::CreateTasks(vec![new_task(batch, 0, after)]));
    let Ok(Reply::Created { first, .. }) = reply else { panic!("{reply:?}") };
    first
}

fn worker_state(bench: &Bench, worker: WorkerId) -> WorkerState {
    bench.state.workers[&worker].state()
}

#[test]
fn a_deleted_batch_takes_its_tasks_along_and_frees_its_name() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (running, pending) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.start(running);
    let other = create_in(&mut bench, "other", &[]);
    assert_eq!(delete(&mut bench, "Default", DeleteBatch::default()), Ok(Reply::Count(2)));
    assert_eq!((bench.state(running), bench.state(pending)), (None, None));
    assert_eq!(bench.state(other), Some(TaskState::Pending));
    // The worker is in a new batch of that name, which holds nothing yet.
    let anew = bench.create(0, &[]);
    assert_eq!(bench.state(anew), Some(TaskState::Pending), "the slot is still taken");
    bench.finish(running, None);
    assert_eq!(bench.state(anew), Some(TaskState::Assigned));
}

#[test]
fn a_batch_on_which_others_wait_is_deleted_only_with_a_word_on_them() {
    for dependents in [Dependents::Refuse, Dependents::Cascade, Dependents::Detach] {
        let mut bench = Bench::new();
        let required = bench.create(0, &[]);
        let waits = create_in(&mut bench, "other", &[required]);
        let how = DeleteBatch { dependents, running: DeleteRunning::Keep };
        let reply = delete(&mut bench, "Default", how);
        match dependents {
            Dependents::Refuse => assert!(matches!(reply, Err(Refusal::HasDependents { .. }))),
            Dependents::Cascade => assert_eq!(bench.state(waits), None),
            Dependents::Detach => assert_eq!(bench.state(waits), Some(TaskState::Waiting)),
        }
    }
}

#[test]
fn what_runs_in_a_deleted_batch_goes_on_unless_it_is_to_be_killed() {
    for running in [DeleteRunning::Keep, DeleteRunning::Kill] {
        let mut bench = Bench::new();
        bench.connect("w", 1, 0);
        let task = bench.create(0, &[]);
        bench.start(task);
        let execution = bench.execution(task);
        let how = DeleteBatch { dependents: Dependents::Refuse, running };
        delete(&mut bench, "Default", how).unwrap();
        let killed = bench.orders().contains(&(execution, Verdict::Killed));
        assert_eq!(killed, running == DeleteRunning::Kill);
    }
}

#[test]
fn the_leases_of_a_worker_are_those_of_its_batch_once_its_agent_knows() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let update = UpdateBatch {
        lost_after: Some(Setting::Value(LostAfter::Seconds(60))),
        ..UpdateBatch::default()
    };
    bench.apply(Command::UpdateBatch { batch: name("Default"), update }).unwrap();
    bench.pass(61);
    assert_eq!(bench.state(task), Some(TaskState::Running), "the agent has not heard of it");
    bench.heartbeat(worker).unwrap();
    bench.pass(61);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
}

#[test]
fn a_batch_can_wait_for_its_workers_for_ever() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let update = UpdateBatch {
        lost_after: Some(Setting::Value(LostAfter::Never)),
        ..UpdateBatch::default()
    };
    bench.apply(Command::UpdateBatch { batch: name("Default"), update }).unwrap();
    bench.heartbeat(worker).unwrap();
    bench.pass(1_000_000);
    assert_eq!(bench.state(task), Some(TaskState::Running));
}

#[test]
fn a_task_can_wait_for_an_end_of_whatever_kind() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let required = bench.create(0, &[]);
    let until_end = NewTask {
        after: vec![Requirement { task: required, until: Until::End }],
        ..new_task("Default", 0, &[])
    };
    bench.apply(Command::CreateTasks(vec![until_end])).unwrap();
    let waits = TaskId(required.0 + 1);
    assert_eq!(bench.state(waits), Some(TaskState::Waiting));
    bench.start(required);
    bench.finish(required, Some(FailureClass::Exit));
    assert_eq!(bench.state(waits), Some(TaskState::Assigned));
}

#[test]
fn a_worker_that_fails_task_after_task_is_taken_out_of_service() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    for _ in 0..5 {
        let task = bench.create(0, &[]);
        bench.start(task);
        bench.finish(task, Some(FailureClass::Download));
    }
    assert_eq!(worker_state(&bench, worker), WorkerState::Failed);
    let task = bench.create(0, &[]);
    let why = bench.state.live_task(task).why.unwrap();
    assert!(why.contains("out of service: failed 5 tasks in a row"), "{why}");
    let wanted = Some(WantedState::Running);
    bench.update(worker, UpdateWorker { wanted, ..UpdateWorker::default() });
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_task_that_fails_again_and_again_does_not_speak_against_the_worker() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(9, &[]);
    for _ in 0..10 {
        bench.start(task);
        bench.finish(task, Some(FailureClass::Download));
    }
    assert_eq!(worker_state(&bench, worker), WorkerState::Running);
}

fn orphan(execution: u64, task: TaskId) -> Orphan {
    Orphan {
        execution: ExecutionId(execution),
        task,
        own_store: true,
        phase: Phase::Running,
        started_at: Some(crate::domain::Timestamp(5)),
        ended: false,
        command: "true".to_owned(),
    }
}

/// A restored database, whose ids have been skipped ahead.
fn restored() -> Bench {
    let mut bench = Bench::new();
    bench.state.next.execution = ExecutionId(1_000);
    bench
}

fn show_orphans(bench: &mut Bench, worker: WorkerId, orphans: Vec<Orphan>) {
    let link = bench.link_of(worker);
    let pulse = Pulse { orphans, ..bench.pulse(worker) };
    bench.apply(Command::Heartbeat { worker, link, pulse }).unwrap();
}

#[test]
fn an_adopted_orphan_is_the_execution_of_its_task() {
    let mut bench = restored();
    let task = bench.create(0, &[]);
    let batch = name("Default");
    let with = crate::api::batch::WithTasks::default();
    bench.apply(Command::PauseBatch { batch, with }).unwrap();
    let worker = bench.connect("w", 1, 0);
    show_orphans(&mut bench, worker, vec![orphan(7, task)]);
    let reply = bench.apply(Command::AdoptOrphans { worker, executions: Vec::new() });
    let Ok(Reply::Orphans(handled)) = reply else { panic!("{reply:?}") };
    assert_eq!(handled.done, [ExecutionId(7)]);
    assert_eq!(bench.state(task), Some(TaskState::Running));
    assert_eq!(bench.execution(task), ExecutionId(7));
    bench.finish(task, None);
    assert_eq!(bench.state(task), Some(TaskState::Succeeded));
    assert_eq!(bench.end_of(ExecutionId(7)), (ExecutionState::Succeeded, None));
}

#[test]
fn an_orphan_whose_task_goes_on_without_it_is_not_adopted() {
    let mut bench = restored();
    let worker = bench.connect("w", 2, 0);
    let task = bench.create(0, &[]);
    let other = Orphan { own_store: false, ..orphan(8, task) };
    show_orphans(&mut bench, worker, vec![orphan(7, task), other, orphan(9, TaskId(99))]);
    let reply = bench.apply(Command::AdoptOrphans { worker, executions: Vec::new() });
    let Ok(Reply::Orphans(handled)) = reply else { panic!("{reply:?}") };
    let reasons: Vec<&str> = handled.refused.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "task 1 has execution 1000 by now",
            "it comes from another database",
            "task 99 does not exist any more",
        ]
    );
    let reply = bench.apply(Command::AbandonOrphans { worker, executions: vec![ExecutionId(7)] });
    let Ok(Reply::Orphans(handled)) = reply else { panic!("{reply:?}") };
    assert_eq!(handled.done, [ExecutionId(7)]);
    let again = bench.apply(Command::AbandonOrphans { worker, executions: vec![ExecutionId(7)] });
    assert!(matches!(again, Err(Refusal::NoOrphan { .. })));
}
