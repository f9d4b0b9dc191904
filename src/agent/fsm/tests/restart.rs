//! What an agent makes of the journal of one that died, and of a supervisor
//! that died.

use crate::api::link::{ReportEvent, Verdict};
use crate::domain::execution::FailureClass;
use crate::domain::signal::Signal;

use super::super::*;
use super::bench::*;

fn is_prepare(effect: &Effect) -> bool {
    matches!(effect, Effect::Prepare { .. })
}

#[test]
fn a_command_that_ran_on_is_taken_over() {
    let mut before = Bench::linked();
    before.run(1, WITH_LIMITS);
    before.pass(20);
    let mut bench = before.restarted(vec![running(1)]);
    assert!(!bench.effects.iter().any(is_prepare));
    bench.dial(keep(&[1]));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::FollowOutput { .. })));
    assert!(bench.signals().is_empty());
    bench.pass(40);
    assert_eq!(bench.signals(), [(1, Signal::Term)], "its limit counts from its start");
    bench.ended(1, code(0));
    bench.output_sent(1);
    assert_eq!(bench.class(1), Some(FailureClass::Timeout));
}

#[test]
fn a_command_that_ended_meanwhile_is_reported() {
    let mut before = Bench::linked();
    before.run(1, PLAIN);
    before.run(2, WITH_OUTPUT);
    let ended = |number| (id(number), CommandState::Ended(code(0)));
    let mut bench = before.restarted(vec![ended(1), ended(2)]);
    bench.dial(keep(&[1, 2]));
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
    assert!(bench.outcomes(2).is_empty(), "its outputs are not sent");
    assert!(bench.ack().iter().any(|effect| matches!(effect, Effect::Upload(_))));
}

#[test]
fn what_was_accepted_and_not_started_continues() {
    let mut before = Bench::linked();
    before.accept(1, PLAIN);
    before.prepared(1);
    let mut bench = before.restarted(Vec::new());
    assert!(bench.effects.iter().any(is_prepare), "downloads are done again");
    bench.prepared(1);
    assert!(bench.spawned().is_empty());
    bench.dial(keep(&[1]));
    assert_eq!(bench.reports[0].event, ReportEvent::Accepted);
    bench.ack();
    assert_eq!(bench.spawned(), [1]);
}

#[test]
fn a_command_that_nobody_knows_is_lost() {
    let mut before = Bench::linked();
    before.run(1, PLAIN);
    let mut bench = before.restarted(Vec::new());
    bench.dial(keep(&[1]));
    bench.output_sent(1);
    assert_eq!(bench.class(1), Some(FailureClass::Lost));
}

#[test]
fn a_report_that_was_not_acknowledged_is_sent_again() {
    let mut before = Bench::linked();
    before.run(1, PLAIN);
    before.ended(1, code(3));
    before.output_sent(1);
    let mut bench = before.restarted(vec![(id(1), CommandState::Ended(code(3)))]);
    let mut again = welcome("s");
    again.verdicts = vec![(id(1), Verdict::Keep)];
    again.output = vec![(id(1), SIZES)];
    bench.dial(again);
    assert_eq!(bench.reports.last(), before.reports.last());
    assert_eq!(bench.ack().last(), Some(&Effect::Discard { execution: id(1), files: Files::Keep }));
    assert!(bench.restarted(Vec::new()).state.executions.is_empty());
}

#[test]
fn a_stop_outlives_the_agent() {
    let mut before = Bench::linked();
    before.run(1, PLAIN);
    before.run(2, PLAIN);
    before.order(1, Verdict::Cancelled);
    before.order(2, Verdict::Superseded);
    let mut bench = before.restarted(vec![running(1), running(2)]);
    assert_eq!(bench.signals(), [(1, Signal::Term), (2, Signal::Kill)]);
    bench.dial(keep(&[1]));
    bench.ended(1, end(Exit::Signal { number: 15, out_of_memory: false }));
    bench.ended(2, end(Exit::Signal { number: 9, out_of_memory: false }));
    bench.output_sent(1);
    assert_eq!(bench.class(1), Some(FailureClass::Cancelled));
    assert!(bench.outcomes(2).is_empty());
    assert!(!bench.state.holds(id(2)));
}

#[test]
fn when_the_supervisor_dies_what_ran_is_lost_and_nothing_starts_meanwhile() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.run(2, PLAIN);
    bench.accept(3, PLAIN);
    bench.on(Event::SupervisorDown);
    bench.ended(2, code(0));
    bench.prepared(3);
    assert_eq!(bench.spawned(), [1, 2]);
    let lost = end(Exit::Lost { reason: "killed with its supervisor".to_owned() });
    bench.on(Event::SupervisorUp(vec![
        (id(1), CommandState::Ended(lost)),
        (id(2), CommandState::Ended(code(0))),
    ]));
    bench.output_sent(1);
    bench.output_sent(2);
    assert_eq!(bench.class(1), Some(FailureClass::Lost));
    assert_eq!(bench.class(2), None);
    assert_eq!(bench.spawned(), [1, 2, 3]);
}

#[test]
fn the_supervisor_may_forget_ends_that_nobody_asks_for() {
    let mut bench = Bench::alone();
    let effects =
        bench.on(Event::SupervisorUp(vec![(id(7), CommandState::Ended(code(0))), running(8)]));
    assert_eq!(effects, [Effect::ForgetCommand(id(7))]);
    assert_eq!(bench.ended(8, code(0)), [Effect::ForgetCommand(id(8))]);
}
