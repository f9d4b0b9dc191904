//! What people do to executions by way of the server: pauses, kills, signals,
//! and settings.

use crate::api::link::{Down, Verdict};
use crate::api::worker::Clean;
use crate::domain::Epoch;
use crate::domain::execution::{FailureClass, Suspension};
use crate::domain::signal::Signal;
use crate::domain::worker::WantedState;

use super::super::*;
use super::bench::*;

#[test]
fn what_is_held_back_is_fetched_and_not_started() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.suspend(1, Suspension::Start);
    bench.prepared(1);
    assert!(bench.spawned().is_empty());
    bench.suspend(1, Suspension::Run);
    assert!(bench.signals().is_empty());
    bench.suspend(1, Suspension::No);
    assert_eq!(bench.spawned(), [1]);
}

#[test]
fn a_hold_on_starts_leaves_what_runs_alone() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.suspend(1, Suspension::Start);
    assert!(bench.signals().is_empty());
    bench.suspend(1, Suspension::Run);
    bench.suspend(1, Suspension::Start);
    assert_eq!(bench.signals(), [(1, Signal::Tstp), (1, Signal::Cont)]);
}

#[test]
fn a_suspended_command_is_asked_first_and_keeps_its_slot() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.run(2, PLAIN);
    bench.accept(3, PLAIN);
    bench.prepared(3);
    bench.suspend(1, Suspension::Run);
    bench.suspend(1, Suspension::Run);
    assert_eq!(bench.signals(), [(1, Signal::Tstp)]);
    bench.pass(1);
    bench.pass(100);
    assert_eq!(bench.signals(), [(1, Signal::Tstp), (1, Signal::Stop)]);
    assert_eq!(bench.spawned(), [1, 2], "no slot came free");
    bench.suspend(1, Suspension::No);
    assert_eq!(bench.signals().last(), Some(&(1, Signal::Cont)));
    bench.ended(1, code(0));
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
}

#[test]
fn the_run_limit_stands_still_with_the_command() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_LIMITS);
    bench.pass(50);
    bench.suspend(1, Suspension::Run);
    bench.pass(10_000);
    bench.suspend(1, Suspension::No);
    // The date does not count.
    bench.now.wall.0 += 3_600_000_000;
    bench.pass(9);
    assert!(!bench.signals().contains(&(1, Signal::Term)));
    bench.pass(1);
    assert_eq!(bench.signals().last(), Some(&(1, Signal::Term)));
}

#[test]
fn a_command_that_is_about_to_start_is_suspended_when_it_has() {
    let mut bench = Bench::linked();
    bench.accept(1, WITH_LIMITS);
    bench.prepared(1);
    bench.suspend(1, Suspension::Run);
    assert!(bench.signals().is_empty());
    bench.started(1);
    assert_eq!(bench.signals(), [(1, Signal::Tstp)]);
}

#[test]
fn a_stop_of_a_suspended_command_lets_it_hear_of_it() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.suspend(1, Suspension::Run);
    bench.order(1, Verdict::Cancelled);
    assert_eq!(bench.signals()[1..], [(1, Signal::Term), (1, Signal::Cont)]);
    bench.suspend(1, Suspension::No);
    bench.suspend(1, Suspension::Run);
    assert_eq!(bench.signals().len(), 3, "what shall end is not suspended any more");
    bench.pass(10);
    assert_eq!(bench.signals().last(), Some(&(1, Signal::Kill)));
}

#[test]
fn a_suspension_outlives_the_agent() {
    let mut before = Bench::linked();
    before.run(1, WITH_LIMITS);
    before.accept(2, PLAIN);
    before.pass(50);
    before.suspend(1, Suspension::Run);
    before.suspend(2, Suspension::Start);
    before.pass(1_000);
    let mut bench = before.restarted(vec![running(1)]);
    assert_eq!(bench.signals(), [(1, Signal::Tstp)], "the one before may have died at it");
    bench.dial(keep(&[1, 2]));
    bench.suspend(1, Suspension::Run);
    bench.suspend(2, Suspension::Start);
    bench.heartbeat();
    bench.ack();
    bench.prepared(2);
    bench.pass(1_000);
    assert_eq!(bench.signals().last(), Some(&(1, Signal::Stop)));
    assert!(bench.spawned().is_empty());
    bench.suspend(1, Suspension::No);
    bench.pass(9);
    assert_eq!(bench.signals().last(), Some(&(1, Signal::Cont)));
    bench.pass(1);
    assert_eq!(bench.signals().last(), Some(&(1, Signal::Term)), "10 s were left");
}

#[test]
fn what_the_server_does_not_hold_back_again_goes_on() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.accept(2, PLAIN);
    bench.prepared(2);
    bench.started(2);
    bench.accept(3, PLAIN);
    bench.prepared(3);
    for number in 1..=3 {
        bench.suspend(number, Suspension::Run);
    }
    bench.hang_up();
    let effects = bench.dial(keep(&[1, 2, 3]));
    assert!(matches!(effects.last(), Some(Effect::SendHeartbeat { .. })), "it asks at once");
    bench.suspend(2, Suspension::Run);
    assert_eq!(bench.signals().len(), 2, "the server has not spoken of all yet");
    bench.frame(Down::HeartbeatAck { number: 1, storage: None });
    assert_eq!(bench.signals()[2..], [(1, Signal::Cont)]);
    bench.ended(1, code(0));
    assert_eq!(bench.spawned(), [1, 2, 3]);
}

#[test]
fn a_kill_needs_no_grace_and_outdoes_a_stop() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.order(1, Verdict::Cancelled);
    bench.order(1, Verdict::Killed);
    bench.order(1, Verdict::Killed);
    bench.order(1, Verdict::Cancelled);
    assert_eq!(bench.signals(), [(1, Signal::Term), (1, Signal::Kill)]);
    let mut bench = bench.restarted(vec![running(1)]);
    assert_eq!(bench.signals(), [(1, Signal::Kill)]);
    let mut again = keep(&[]);
    again.verdicts = vec![(id(1), Verdict::Killed)];
    bench.dial(again);
    bench.ended(1, end(Exit::Signal { number: 9, out_of_memory: false }));
    bench.output_sent(1);
    let failure = bench.outcomes(1)[0].failure.clone().unwrap();
    assert_eq!((failure.class, &*failure.reason), (FailureClass::Cancelled, "killed"));
}

#[test]
fn a_kill_reaches_every_phase() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.order(1, Verdict::Killed);
    assert_eq!(bench.class(1), Some(FailureClass::Cancelled));
    bench.accept(2, PLAIN);
    bench.prepared(2);
    bench.order(2, Verdict::Killed);
    bench.started(2);
    assert_eq!(bench.signals(), [(2, Signal::Kill)]);
    bench.run(3, WITH_OUTPUT);
    bench.ended(3, code(0));
    bench.output_sent(3);
    bench.order(3, Verdict::Killed);
    assert_eq!(bench.class(3), Some(FailureClass::Cancelled));
}

#[test]
fn any_signal_reaches_a_command_that_runs_and_no_other() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.accept(2, PLAIN);
    for number in [1, 2, 3] {
        bench.frame(Down::Signal { execution: id(number), signal: Signal::Usr1 });
    }
    assert_eq!(bench.signals(), [(1, Signal::Usr1)]);
}

#[test]
fn a_restored_execution_is_given_back_if_it_does_not_run() {
    let mut before = Bench::linked();
    before.accept(1, PLAIN);
    before.run(2, PLAIN);
    let mut bench = before.restarted(Vec::new());
    // Once more, before it has reached the supervisor.
    bench.state =
        AgentState::new(Limits::default(), machine(), settings(2), Some((store("s"), Epoch(1))));
    bench.state.restore(before.effects.iter().filter_map(|effect| match effect {
        Effect::Journal(record) => Some(record.clone()),
        _ => None,
    }));
    bench.dial(keep(&[1, 2]));
    bench.order(1, Verdict::GiveBack);
    bench.order(2, Verdict::GiveBack);
    assert!(bench.outcomes(1).is_empty(), "it may run");
    bench.on(Event::SupervisorUp(vec![running(2)]));
    assert_eq!(bench.class(1), Some(FailureClass::Refused));
    assert!(bench.outcomes(2).is_empty());
}

#[test]
fn a_new_time_to_loss_counts_at_once_and_is_told() {
    let mut bench = Bench::linked();
    let set = |seconds| Down::Settings {
        settings: settings(2),
        wanted: WantedState::Running,
        lost_after_seconds: seconds,
    };
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(0));
    bench.ack();
    bench.accept(2, PLAIN);
    bench.pass(100);
    let effects = bench.frame(set(Some(60)));
    assert_eq!(effects[0], Effect::StopTransfer(id(1)), "the server was silent for too long");
    assert_eq!(last_standing(&effects).lease_seconds, Some(60));
    bench.prepared(2);
    assert_eq!(bench.spawned(), [1]);
    let effects = bench.frame(set(None));
    assert_eq!(last_standing(&effects).lease_seconds, None);
    assert_eq!(bench.spawned(), [1, 2]);
    assert!(bench.frame(set(None)).is_empty(), "nothing has changed");
    let effects = bench.dial(keep(&[1, 2]));
    assert_eq!(last_standing(&effects[..2]).lease_seconds, None);
}

#[test]
fn cleaning_and_restarting_are_for_the_driver() {
    let mut bench = Bench::linked();
    assert_eq!(bench.frame(Down::Clean { what: Clean::Tasks }), [Effect::Clean(Clean::Tasks)]);
    assert_eq!(bench.frame(Down::Restart), [Effect::Restart]);
}

#[test]
fn a_signal_to_a_command_that_is_just_being_started_reaches_it() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.prepared(1);
    assert_eq!(bench.spawned(), [1]);
    bench.frame(Down::Signal { execution: id(1), signal: Signal::Usr1 });
    assert!(bench.signals().is_empty());
    bench.started(1);
    assert_eq!(bench.signals(), [(1, Signal::Usr1)]);
    bench.frame(Down::Signal { execution: id(1), signal: Signal::Usr2 });
    assert_eq!(bench.signals(), [(1, Signal::Usr1), (1, Signal::Usr2)]);
}

#[test]
fn a_date_that_jumps_before_the_start_is_known_costs_no_time() {
    let mut bench = Bench::linked();
    bench.accept(1, WITH_LIMITS);
    bench.prepared(1);
    // The supervisor told its date, and then it was changed.
    bench.now.wall.0 += 3_600_000_000;
    bench.started(1);
    bench.pass(59);
    assert!(bench.signals().is_empty());
    let mut bench = bench.restarted(vec![running(1)]);
    bench.now.wall.0 += 3_600_000_000;
    bench.pass(0);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert_eq!(bench.signals().last(), Some(&(1, Signal::Term)));
}
