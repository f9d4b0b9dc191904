//! Pauses of tasks and of batches.

use crate::api::batch::WithTasks;
use crate::api::link::{ReportEvent, Verdict};
use crate::api::task::Unfit;
use crate::domain::TaskId;
use crate::domain::batch::BatchPause;
use crate::domain::execution::{FailureClass, Suspension};
use crate::domain::signal::Signal;
use crate::domain::task::{Hold, TaskState};

use super::super::{Command, Effect, Refusal, Reply};
use super::bench::Bench;

const WITH: WithTasks = WithTasks { tasks: true };
const WITHOUT: WithTasks = WithTasks { tasks: false };

fn pause(bench: &mut Bench, task: TaskId) {
    bench.apply(Command::PauseTasks { tasks: vec![task], unfit: Unfit::Refuse }).unwrap();
}

fn resume(bench: &mut Bench, task: TaskId) {
    bench.apply(Command::ResumeTasks { tasks: vec![task], unfit: Unfit::Refuse }).unwrap();
}

fn pause_batch(bench: &mut Bench, with: WithTasks) -> u64 {
    let batch = "Default".parse().unwrap();
    count(bench.apply(Command::PauseBatch { batch, with }))
}

fn go(bench: &mut Bench, with: WithTasks) -> u64 {
    let batch = "Default".parse().unwrap();
    count(bench.apply(Command::GoBatch { batch, with }))
}

fn count(reply: Result<Reply, Refusal>) -> u64 {
    let reply = reply.unwrap();
    let Reply::Count(count) = reply else { panic!("{reply:?}") };
    count
}

/// How far the last command told agents to hold executions back.
fn told(bench: &Bench) -> Vec<Suspension> {
    let suspension = |effect: &Effect| match effect {
        Effect::Suspend { suspension, .. } => Some(*suspension),
        _ => None,
    };
    bench.effects.iter().filter_map(suspension).collect()
}

#[test]
fn a_held_task_is_given_to_nobody_until_it_is_resumed() {
    let mut bench = Bench::new();
    let task = bench.create(0, &[]);
    pause(&mut bench, task);
    assert_eq!(bench.state(task), Some(TaskState::Paused));
    bench.connect("w", 1, 0);
    assert_eq!(bench.state(task), Some(TaskState::Paused));
    resume(&mut bench, task);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_held_task_comes_back_to_the_state_that_it_would_be_in() {
    let mut bench = Bench::new();
    let required = bench.create(0, &[]);
    let task = bench.create(0, &[required]);
    pause(&mut bench, task);
    resume(&mut bench, task);
    assert_eq!(bench.state(task), Some(TaskState::Waiting));
    pause(&mut bench, task);
    bench.connect("w", 1, 0);
    bench.start(required);
    bench.finish(required, None);
    assert_eq!(bench.state(task), Some(TaskState::Paused));
    resume(&mut bench, task);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn an_assigned_task_that_is_paused_leaves_its_worker() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    let execution = bench.execution(task);
    pause(&mut bench, task);
    assert_eq!(bench.orders(), [(execution, Verdict::Superseded)]);
    assert_eq!(bench.state.workers[&worker].held, 0);
}

#[test]
fn a_running_task_is_suspended_in_its_slot() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    pause(&mut bench, task);
    assert_eq!(told(&bench), [Suspension::Run]);
    assert_eq!(bench.state(task), Some(TaskState::Paused));
    assert_eq!(bench.state.workers[&worker].held, 1);
    resume(&mut bench, task);
    assert_eq!(told(&bench), [Suspension::No]);
    assert_eq!(bench.state(task), Some(TaskState::Running));
}

#[test]
fn a_suspended_task_can_end_and_be_ended() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let (one, two) = (bench.create(0, &[]), bench.create(0, &[]));
    for task in [one, two] {
        bench.start(task);
        pause(&mut bench, task);
    }
    bench.finish(one, None);
    assert_eq!(bench.state(one), Some(TaskState::Succeeded));
    bench.cancel(two).unwrap();
    bench.finish(two, Some(FailureClass::Signal));
    assert_eq!(bench.failure(two), Some(FailureClass::Cancelled));
}

#[test]
fn a_task_that_is_lost_while_a_person_has_it_paused_stays_paused() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    pause(&mut bench, task);
    bench.finish(task, Some(FailureClass::Lost));
    assert_eq!(bench.state(task), Some(TaskState::Paused));
    assert_eq!(bench.state.tasks[&task].hold, Hold::Person);
    resume(&mut bench, task);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn an_agent_that_comes_back_is_told_again_what_to_hold_back() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let (task, other) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.start(task);
    bench.start(other);
    pause(&mut bench, task);
    let held = vec![bench.held(task, true), bench.held(other, true)];
    bench.greet("w", 2, 0, held);
    assert_eq!(told(&bench), [Suspension::Run]);
}

#[test]
fn signals_of_job_control_pause_and_resume_and_others_reach_what_runs() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    let send = |bench: &mut Bench, signal| {
        bench.apply(Command::SignalTasks { tasks: vec![task], signal, unfit: Unfit::Refuse })
    };
    let refused = Err(Refusal::NotRunning(task, TaskState::Assigned));
    assert_eq!(send(&mut bench, Signal::Usr1), refused);
    bench.start(task);
    send(&mut bench, Signal::Usr1).unwrap();
    assert!(
        bench
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Signal { signal: Signal::Usr1, .. }))
    );
    send(&mut bench, Signal::Stop).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Paused));
    send(&mut bench, Signal::Cont).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Running));
    send(&mut bench, Signal::Kill).unwrap();
    assert_eq!(bench.orders(), [(bench.execution(task), Verdict::Killed)]);
    bench.finish(task, Some(FailureClass::Signal));
    assert_eq!(bench.failure(task), Some(FailureClass::Cancelled));
}

#[test]
fn what_does_not_fit_is_refused_or_skipped_as_asked() {
    let mut bench = Bench::new();
    let (one, two) = (bench.create(0, &[]), bench.create(0, &[]));
    pause(&mut bench, one);
    let tasks = vec![two, one, TaskId(99)];
    let refused = bench.apply(Command::PauseTasks { tasks: tasks.clone(), unfit: Unfit::Refuse });
    assert_eq!(refused, Err(Refusal::AlreadyPaused(one)));
    assert_eq!(bench.state(two), Some(TaskState::Pending));
    let reply = bench.apply(Command::PauseTasks { tasks, unfit: Unfit::Skip });
    assert_eq!(reply, Ok(Reply::Tasks(vec![two])));
}

#[test]
fn a_paused_batch_gives_nothing_to_workers_that_join_later() {
    let mut bench = Bench::new();
    let task = bench.create(0, &[]);
    assert_eq!(pause_batch(&mut bench, WITHOUT), 0);
    bench.connect("w", 1, 0);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    go(&mut bench, WITHOUT);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_pause_holds_back_what_was_accepted_and_lets_run_what_runs() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 2);
    let [running, accepted, assigned] = [(); 3].map(|()| bench.create(0, &[]));
    bench.start(running);
    bench.accept(accepted);
    pause_batch(&mut bench, WITHOUT);
    assert_eq!(told(&bench), [Suspension::Start]);
    assert_eq!(bench.state(running), Some(TaskState::Running));
    assert_eq!(bench.state(accepted), Some(TaskState::Accepted));
    assert_eq!(bench.state(assigned), Some(TaskState::Pending));
    go(&mut bench, WITHOUT);
    assert_eq!(told(&bench), [Suspension::No]);
    assert_eq!(bench.state(assigned), Some(TaskState::Assigned));
}

#[test]
fn go_with_tasks_undoes_pause_with_tasks_and_not_what_a_person_paused() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let (one, two) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.start(one);
    bench.start(two);
    pause(&mut bench, two);
    assert_eq!(pause_batch(&mut bench, WITH), 1);
    assert_eq!(bench.state(one), Some(TaskState::Paused));
    assert_eq!(go(&mut bench, WITHOUT), 0);
    assert_eq!(bench.state(one), Some(TaskState::Paused));
    pause_batch(&mut bench, WITH);
    assert_eq!(go(&mut bench, WITH), 1);
    assert_eq!(bench.state(one), Some(TaskState::Running));
    assert_eq!(bench.state(two), Some(TaskState::Paused));
}

#[test]
fn what_starts_after_a_pause_with_tasks_is_suspended_too() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    pause_batch(&mut bench, WITH);
    bench.tell(task, ReportEvent::Started);
    assert_eq!(told(&bench), [Suspension::Run]);
    assert_eq!(bench.state(task), Some(TaskState::Paused));
    assert_eq!(go(&mut bench, WITH), 1);
}

#[test]
fn stopping_a_batch_pauses_it_and_ends_what_is_under_way() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let (running, pending) = (bench.create(3, &[]), bench.create(0, &[]));
    bench.start(running);
    let batch: crate::domain::BatchName = "Default".parse().unwrap();
    let stop = Command::EndBatch { batch: batch.clone(), signal: Signal::Term };
    assert_eq!(count(bench.apply(stop)), 1);
    assert_eq!(bench.state.find_batch(&batch).unwrap().pause, BatchPause::Start);
    bench.finish(running, Some(FailureClass::Signal));
    assert_eq!(bench.failure(running), Some(FailureClass::Cancelled));
    assert_eq!(bench.state(pending), Some(TaskState::Pending));
}

#[test]
fn a_batch_that_is_not_there_cannot_be_paused() {
    let mut bench = Bench::new();
    let batch: crate::domain::BatchName = "nowhere".parse().unwrap();
    let refused = bench.apply(Command::PauseBatch { batch: batch.clone(), with: WITH });
    assert_eq!(refused, Err(Refusal::NoBatch(batch)));
}
