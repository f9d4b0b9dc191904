//! Agents: hellos, reports, fences, and what people do to workers.

use crate::api::link::{Held, ReportEvent, Verdict};
use crate::api::worker::UpdateWorker;
use crate::domain::execution::{ExecutionState, FailureClass, Phase};
use crate::domain::task::TaskState;
use crate::domain::worker::WantedState;
use crate::domain::{Epoch, ExecutionId, StoreId, TaskId};

use super::super::command::Connect;
use super::super::command::Pulse;
use super::super::{Command, Effect, Refusal, Reply};
use super::bench::{Bench, finished, hello};

#[test]
fn an_agent_that_comes_back_with_what_it_holds_keeps_it() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 2, 0);
    let (accepted, started) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.accept(accepted);
    bench.start(started);
    bench.disconnect(worker);
    let held = vec![bench.held(accepted, false), bench.held(started, true)];
    let expected: Vec<_> = held.iter().map(|held| (held.execution, Verdict::Keep)).collect();
    let connected = bench.greet("w", 2, 0, held);
    assert_eq!((connected.worker, connected.known), (worker, true));
    assert_eq!(connected.verdicts, expected);
    assert_eq!(bench.state(started), Some(TaskState::Running));
}

#[test]
fn a_start_that_the_server_missed_is_learned_from_the_hello() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.disconnect(worker);
    let held = bench.held(task, true);
    bench.greet("w", 1, 0, vec![held]);
    assert_eq!(bench.state(task), Some(TaskState::Running));
}

#[test]
fn an_order_that_the_agent_missed_is_sent_again() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    let execution = bench.execution(task);
    bench.disconnect(worker);
    bench.greet("w", 1, 0, Vec::new());
    assert!(bench.effects.contains(&Effect::Start {
        worker,
        execution,
        task,
        attempt: 1,
        revision: 0
    }));
}

#[test]
fn what_an_agent_comes_back_without_is_lost() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let execution = bench.execution(task);
    bench.disconnect(worker);
    bench.greet("w", 1, 0, Vec::new());
    assert_eq!(bench.end_of(execution), (ExecutionState::Failed, Some(FailureClass::Lost)));
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn every_held_execution_gets_its_verdict() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 3, 0);
    let tasks: Vec<TaskId> = (0..3).map(|_| bench.create(0, &[])).collect();
    for task in &tasks {
        bench.start(*task);
    }
    let held: Vec<Held> = tasks.iter().map(|task| bench.held(*task, true)).collect();
    bench.finish(tasks[0], None);
    bench.cancel(tasks[1]).unwrap();
    let ended = Held { ended: true, ..held[0].clone() };
    let unknown = Held { execution: ExecutionId(99), ..held[0].clone() };
    bench.disconnect(worker);
    let named = vec![held[0].clone(), held[1].clone(), held[2].clone(), unknown];
    let verdicts = bench.greet("w", 3, 0, named).verdicts;
    let verdicts: Vec<Verdict> = verdicts.iter().map(|(_, verdict)| *verdict).collect();
    let expected = [Verdict::Superseded, Verdict::Cancelled, Verdict::Keep, Verdict::Unknown];
    assert_eq!(verdicts, expected);
    bench.disconnect(worker);
    let verdicts = bench.greet("w", 3, 0, vec![ended, held[1].clone(), held[2].clone()]).verdicts;
    assert_eq!(verdicts[0].1, Verdict::Settled);
}

#[test]
fn executions_of_another_store_are_unknown_and_stand_for_none_of_this_one() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let held = bench.held(task, true);
    let execution = held.execution;
    bench.disconnect(worker);
    let connected = greet_from(&mut bench, ("another", 1), vec![held]);
    assert_eq!(connected, [(execution, Verdict::Unknown)]);
    assert_eq!(bench.end_of(execution).1, Some(FailureClass::Lost));
}

/// Connects an agent whose executions come from that store and epoch; answers
/// the verdicts on them.
fn greet_from(
    bench: &mut Bench,
    store: (&str, u64),
    held: Vec<Held>,
) -> Vec<(ExecutionId, Verdict)> {
    let connect = Connect {
        store: Some((StoreId(store.0.to_owned()), Epoch(store.1))),
        held,
        ..hello(bench.new_link(), "w", 1, 0)
    };
    let reply = bench.apply(Command::Connect(Box::new(connect))).unwrap();
    let Reply::Connected(connected) = reply else { panic!("{reply:?}") };
    connected.verdicts
}

#[test]
fn what_a_copy_of_the_database_knows_is_its_own_still() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    let held = bench.held(task, true);
    let unknown = Held { execution: ExecutionId(77), ..held.clone() };
    let other = Held { task: TaskId(9), ..held.clone() };
    bench.disconnect(worker);
    let verdicts = greet_from(&mut bench, ("store", 0), vec![other.clone()]);
    assert_eq!(verdicts, [(held.execution, Verdict::Unknown)], "the id is another task's here");
    bench.accept(task);
    let held = bench.held(task, true);
    bench.disconnect(worker);
    let verdicts = greet_from(&mut bench, ("store", 0), vec![held.clone(), unknown]);
    let expected = [(held.execution, Verdict::Keep), (ExecutionId(77), Verdict::Unknown)];
    assert_eq!(verdicts, expected);
    assert_eq!(bench.state(task), Some(TaskState::Running));
    // Also where the copy was not seen to be one.
    bench.disconnect(worker);
    let verdicts = greet_from(&mut bench, ("store", 1), vec![Held { task: TaskId(9), ..held }]);
    assert_eq!(verdicts[0].1, Verdict::Unknown);
}

#[test]
fn a_second_live_agent_of_one_worker_is_refused_until_the_first_is_silent() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let second = |bench: &mut Bench| {
        let instance = "second".to_owned();
        let connect = Connect { instance, ..hello(bench.new_link(), "w", 1, 0) };
        bench.apply(Command::Connect(Box::new(connect)))
    };
    assert_eq!(second(&mut bench), Err(Refusal::AlreadyConnected("w".into())));
    // Its machine lost power: the link was never closed.
    let old = bench.link_of(worker);
    bench.pass(16);
    assert!(matches!(second(&mut bench), Ok(Reply::Connected(_))));
    let stale = Command::Report { worker, link: old, reports: Vec::new() };
    assert_eq!(bench.apply(stale), Err(Refusal::StaleLink));
}

#[test]
fn an_agent_that_dials_again_replaces_its_old_link() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let old = bench.link_of(worker);
    bench.connect("w", 1, 0);
    bench.apply(Command::Disconnect { worker, link: old }).unwrap();
    assert!(bench.state.workers[&worker].link.is_some());
}

#[test]
fn a_token_of_another_worker_is_refused() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let connect = Connect { bound_to: Some(worker), ..hello(bench.new_link(), "x", 1, 0) };
    let refusal = Refusal::OtherWorker { bound: worker, name: "x".into() };
    assert_eq!(bench.apply(Command::Connect(Box::new(connect))), Err(refusal));
}

#[test]
fn a_report_may_come_twice() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(1, &[]);
    let execution = bench.execution(task);
    for event in [ReportEvent::Accepted, ReportEvent::Started] {
        assert_eq!(bench.tell(task, event.clone()), Verdict::Keep);
        let before = format!("{:?}", bench.state);
        assert_eq!(bench.tell(task, event), Verdict::Keep);
        assert_eq!(format!("{:?}", bench.state), before);
    }
    bench.tell(task, ReportEvent::Uploading { exit_code: Some(0) });
    let before = format!("{:?}", bench.state);
    bench.tell(task, ReportEvent::Uploading { exit_code: Some(0) });
    // A start that comes late takes no place again.
    bench.tell(task, ReportEvent::Started);
    assert_eq!(format!("{:?}", bench.state), before);
    bench.finish(task, Some(FailureClass::Exit));
    let second = bench.execution(task);
    let again = bench.report(worker, execution, task, finished(Some(FailureClass::Exit)));
    assert_eq!(again, Verdict::Settled);
    assert_eq!(bench.execution(task), second);
    assert_eq!(bench.state.workers[&worker].failed, 1);
}

#[test]
fn nobody_reports_of_another_workers_execution() {
    let mut bench = Bench::new();
    bench.connect("own", 1, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    let execution = bench.execution(task);
    let stranger = bench.connect("stranger", 1, 0);
    let before = format!("{:?}", bench.state);
    let started = bench.report(stranger, execution, task, ReportEvent::Started);
    assert_eq!(started, Verdict::Superseded);
    assert_eq!(bench.report(stranger, execution, task, finished(None)), Verdict::Settled);
    let unknown = bench.report(stranger, ExecutionId(77), task, ReportEvent::Started);
    assert_eq!(unknown, Verdict::Unknown);
    assert_eq!(format!("{:?}", bench.state), before);
}

#[test]
fn late_reports_of_a_lost_execution_change_nothing() {
    let mut bench = Bench::new();
    let first = bench.connect("first", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let lost = bench.execution(task);
    bench.disconnect(first);
    let second = bench.connect("second", 1, 0);
    bench.pass_with(605, &[second]);
    assert_eq!(bench.worker_of(task), second);
    bench.start(task);
    let held = Held {
        execution: lost,
        task,
        revision: 0,
        phase: Phase::Running,
        accepted_at: None,
        started_at: Some(bench.now.wall),
        ended: false,
    };
    let connected = bench.greet("first", 1, 0, vec![held]);
    assert_eq!(connected.verdicts, [(lost, Verdict::Superseded)]);
    let before = format!("{:?}", bench.state);
    let upload = ReportEvent::Uploading { exit_code: Some(0) };
    assert_eq!(bench.report(first, lost, task, upload), Verdict::Superseded);
    assert_eq!(bench.report(first, lost, task, finished(None)), Verdict::Settled);
    assert_eq!(format!("{:?}", bench.state), before);
    assert_eq!(bench.state(task), Some(TaskState::Running));
}

#[test]
fn a_worker_that_drains_takes_nothing() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 2, 2);
    let running = bench.create(0, &[]);
    bench.start(running);
    let wanted = Some(WantedState::Draining);
    bench.update(worker, UpdateWorker { wanted, ..UpdateWorker::default() });
    let task = bench.create(0, &[]);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    bench.finish(running, None);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    let wanted = Some(WantedState::Running);
    bench.update(worker, UpdateWorker { wanted, ..UpdateWorker::default() });
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_task_says_how_far_its_image_is() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let link = bench.link_of(worker);
    let task = bench.create(0, &[]);
    bench.accept(task);
    let execution = bench.execution(task);
    let mut tell = |pulls| {
        let pulse = Pulse { pulls, ..Pulse::default() };
        bench.apply(Command::Heartbeat { worker, link, pulse }).unwrap();
        bench.state.live_task(task).why.unwrap()
    };
    let image = "image: 1 of 2 layers, 1 of 4 MB".to_owned();
    let why = tell(vec![(ExecutionId(99), "another".to_owned()), (execution, image)]);
    assert_eq!(why, "worker w fetches its data: image: 1 of 2 layers, 1 of 4 MB");
    assert_eq!(tell(Vec::new()), "worker w fetches its data");
}

#[test]
fn an_agent_that_drains_by_itself_takes_nothing_until_it_stops() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let link = bench.link_of(worker);
    let pulse = |draining| Command::Heartbeat {
        worker,
        link,
        pulse: Pulse { draining, ..Pulse::default() },
    };
    bench.apply(pulse(true)).unwrap();
    let task = bench.create(0, &[]);
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    bench.apply(pulse(false)).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_worker_moved_to_another_batch_gives_back_what_it_has_not_taken() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 2, 0);
    let (accepted, assigned) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.accept(accepted);
    let batch = Some("other".parse().unwrap());
    bench.update(worker, UpdateWorker { batch, ..UpdateWorker::default() });
    assert_eq!(bench.state(accepted), Some(TaskState::Accepted));
    assert_eq!(bench.state(assigned), Some(TaskState::Pending));
    assert_eq!(bench.state.tasks[&assigned].losses, 0);
    bench.finish(accepted, None);
    assert_eq!(bench.state(assigned), Some(TaskState::Pending));
}

#[test]
fn a_reachable_worker_is_deleted_when_its_last_execution_has_ended() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 2, 0);
    let (running, assigned) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.start(running);
    let execution = bench.execution(running);
    bench.apply(Command::DeleteWorker(worker)).unwrap();
    assert!(bench.orders().contains(&(execution, Verdict::Cancelled)));
    assert_eq!(bench.state(assigned), Some(TaskState::Pending));
    assert_eq!(bench.state(running), Some(TaskState::Running));
    bench.finish(running, Some(FailureClass::Signal));
    assert!(bench.effects.contains(&Effect::CloseLink { worker }));
    assert!(bench.state.workers.is_empty());
    assert_eq!(bench.state(running), Some(TaskState::Pending));
    assert_eq!(bench.end_of(execution).1, Some(FailureClass::Lost));
}

#[test]
fn an_unreachable_worker_is_deleted_at_once() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    bench.disconnect(worker);
    bench.apply(Command::DeleteWorker(worker)).unwrap();
    assert!(bench.state.workers.is_empty());
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    let again = bench.apply(Command::DeleteWorker(worker));
    assert_eq!(again, Err(Refusal::NoWorker(worker)));
}

#[test]
fn a_cancelled_task_stays_cancelled_when_its_worker_is_deleted() {
    let mut bench = Bench::new();
    let worker = bench.connect("w", 1, 0);
    let task = bench.create(3, &[]);
    bench.start(task);
    bench.cancel(task).unwrap();
    bench.apply(Command::DeleteWorker(worker)).unwrap();
    bench.finish(task, Some(FailureClass::Signal));
    assert_eq!(bench.state(task), Some(TaskState::Failed));
    assert!(bench.state.workers.is_empty());
}
