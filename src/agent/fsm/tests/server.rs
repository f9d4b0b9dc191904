//! What the server says: verdicts, welcomes, other databases.

use crate::api::link::{Down, ReportEvent, Verdict};
use crate::domain::Epoch;
use crate::domain::execution::{FailureClass, OutputSizes};
use crate::domain::signal::Signal;
use crate::domain::worker::WantedState;

use super::super::*;
use super::bench::*;

fn held(effects: &[Effect]) -> Vec<u64> {
    let held = effects.iter().find_map(|effect| match effect {
        Effect::SendHello { held, .. } => Some(held),
        _ => None,
    });
    held.unwrap().iter().map(|held| held.execution.0).collect()
}

#[test]
fn a_cancelled_command_is_terminated_then_killed_and_reported() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.order(1, Verdict::Cancelled);
    bench.order(1, Verdict::Cancelled);
    assert_eq!(bench.signals(), [(1, Signal::Term)]);
    bench.pass(10);
    assert_eq!(bench.signals(), [(1, Signal::Term), (1, Signal::Kill)]);
    bench.ended(1, code(0));
    bench.output_sent(1);
    assert_eq!(bench.class(1), Some(FailureClass::Cancelled), "whatever the exit code");
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Upload(_))));
}

#[test]
fn a_cancel_before_the_start_needs_no_signal() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.order(1, Verdict::Cancelled);
    assert_eq!(bench.class(1), Some(FailureClass::Cancelled));
    bench.prepared(1);
    assert!(bench.spawned().is_empty());
    assert!(bench.signals().is_empty());
}

#[test]
fn a_cancel_while_the_command_is_being_started_reaches_it() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.prepared(1);
    bench.order(1, Verdict::Cancelled);
    assert!(bench.signals().is_empty());
    bench.started(1);
    assert_eq!(bench.signals(), [(1, Signal::Term)]);
}

#[test]
fn a_cancel_ends_an_upload() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(0));
    bench.output_sent(1);
    bench.ack();
    let effects = bench.order(1, Verdict::Cancelled);
    assert!(effects.contains(&Effect::StopTransfer(id(1))));
    assert_eq!(bench.class(1), Some(FailureClass::Cancelled));
}

#[test]
fn an_upload_has_a_limit_of_its_own_from_the_leave_on() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_UPLOAD_LIMIT);
    bench.pass(100);
    bench.ended(1, code(0));
    bench.output_sent(1);
    bench.pass(100);
    assert!(bench.outcomes(1).is_empty(), "neither the run nor the wait for leave counts");
    bench.ack();
    let failed =
        TransferFailure { reason: "busy".to_owned(), transient: true, culprit: Culprit::Data };
    for seconds in [20, 5] {
        bench.uploaded(1, Err(failed.clone()));
        bench.pass(seconds);
    }
    assert!(bench.outcomes(1).is_empty());
    bench.pass(5);
    assert!(bench.effects.contains(&Effect::StopTransfer(id(1))));
    assert_eq!(bench.class(1), Some(FailureClass::Upload));
}

#[test]
fn a_superseded_command_is_killed_and_nothing_is_told() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    let told = bench.reports.len();
    bench.order(1, Verdict::Superseded);
    assert_eq!(bench.signals(), [(1, Signal::Kill)]);
    bench.hang_up();
    assert!(held(&bench.dial(welcome("s"))).is_empty());
    let effects: Vec<String> = bench.ended(1, code(0)).iter().map(brief).collect();
    assert_eq!(effects, ["journal(gone Remove)", "forget command", "discard(Remove)"]);
    assert_eq!(bench.reports.len(), told);
}

#[test]
fn an_execution_that_is_wanted_back_is_refused_unless_it_was_started() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.accept(2, PLAIN);
    bench.order(1, Verdict::GiveBack);
    bench.order(2, Verdict::GiveBack);
    assert!(bench.outcomes(1).is_empty());
    assert_eq!(bench.class(2), Some(FailureClass::Refused));
}

#[test]
fn what_is_settled_is_forgotten() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.ended(1, code(0));
    bench.output_sent(1);
    bench.hang_up();
    let mut again = welcome("s");
    again.verdicts = vec![(id(1), Verdict::Settled)];
    bench.dial(again);
    assert!(!bench.state.holds(id(1)));
}

#[test]
fn an_orphan_runs_on_silently_until_the_server_knows_it_again() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.accept(2, PLAIN);
    bench.hang_up();
    let told = bench.reports.len();
    let mut unknown = welcome("s");
    unknown.verdicts = vec![(id(1), Verdict::Unknown), (id(2), Verdict::Unknown)];
    bench.dial(unknown);
    bench.prepared(2);
    bench.ended(1, code(0));
    assert_eq!(bench.reports.len(), told);
    assert_eq!(bench.spawned(), [1], "an orphan is not started");
    assert!(bench.signals().is_empty());
    bench.hang_up();
    let mut known = welcome("s");
    known.verdicts = vec![(id(1), Verdict::Keep), (id(2), Verdict::Keep)];
    bench.dial(known);
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
    bench.ack();
    assert_eq!(bench.spawned(), [1, 2]);
}

#[test]
fn an_execution_without_a_verdict_is_an_orphan() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.hang_up();
    let told = bench.reports.len();
    bench.dial(welcome("s"));
    bench.ended(1, code(0));
    assert_eq!(bench.reports.len(), told);
    assert!(bench.state.holds(id(1)));
}

#[test]
fn executions_of_another_database_are_kept_and_never_told() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.hang_up();
    let told = bench.reports.len();
    let mut other = welcome("other");
    other.verdicts = vec![(id(1), Verdict::Superseded)];
    let effects = bench.dial(other);
    assert_eq!(held(&effects), [1], "named together with the database from which it comes");
    assert!(effects.contains(&Effect::RememberStore(store("other"), Epoch(1))));
    assert!(bench.signals().is_empty());
    bench.order(1, Verdict::Superseded);
    bench.order(1, Verdict::Cancelled);
    assert!(bench.signals().is_empty(), "the other database means another execution");
    bench.frame(start(1, PLAIN));
    assert_eq!(bench.class(1), Some(FailureClass::Refused), "the id is taken here");
    bench.accept(2, PLAIN);
    bench.prepared(2);
    assert_eq!(bench.spawned(), [1, 2]);
    bench.ended(1, code(0));
    assert!(bench.reports[told..].iter().all(|report| report.event != ReportEvent::Started));

    bench.hang_up();
    let effects = bench.dial(welcome("s"));
    assert_eq!(held(&effects), [2]);
    assert_eq!(effects.last(), Some(&Effect::Redial { link: bench.link }));
    bench.hang_up();
    let mut home = welcome("s");
    home.verdicts = vec![(id(1), Verdict::Keep)];
    let effects = bench.dial(home);
    assert_eq!(held(&effects), [1]);
    bench.output_sent(1);
    assert_eq!(bench.outcomes(1).len(), 2, "refused for the one, succeeded for the other");
}

#[test]
fn executions_from_before_a_restore_are_kept_and_never_told() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.hang_up();
    let told = bench.reports.len();
    let mut restored = welcome("s");
    restored.epoch = Epoch(2);
    restored.verdicts = vec![(id(1), Verdict::Superseded)];
    bench.dial(restored.clone());
    bench.hang_up();
    assert!(held(&bench.dial(restored)).is_empty());
    bench.ended(1, code(0));
    assert!(bench.signals().is_empty());
    assert_eq!(bench.reports.len(), told);
    assert!(bench.state.holds(id(1)));
}

#[test]
fn lost_acknowledgements_are_made_good_after_the_next_welcome() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.prepared(1);
    bench.started(1);
    bench.ended(1, code(0));
    bench.output_sent(1);
    bench.hang_up();
    bench.reports.clear();
    let mut again = welcome("s");
    again.verdicts = vec![(id(1), Verdict::Keep)];
    again.output = vec![(id(1), SIZES)];
    bench.dial(again);
    assert_eq!(bench.reports[0].event, ReportEvent::Started);
    assert!(matches!(bench.reports[1].event, ReportEvent::Finished { .. }));
    bench.ack();
    assert!(!bench.state.holds(id(1)));
}

#[test]
fn an_end_waits_until_the_server_has_the_output_again() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.ended(1, code(0));
    bench.output_sent(1);
    bench.hang_up();
    bench.reports.clear();
    let mut again = welcome("s");
    again.verdicts = vec![(id(1), Verdict::Keep)];
    again.output = vec![(id(1), OutputSizes { stdout: 5, stderr: 6 })];
    let effects: Vec<String> = bench.dial(again).iter().map(brief).collect();
    assert_eq!(effects[1..], ["follow output(5, 6)", "finish output"]);
    assert!(bench.reports.is_empty());
    bench.output_sent(1);
    assert!(matches!(bench.reports[0].event, ReportEvent::Finished { .. }));
}

#[test]
fn what_comes_over_an_old_link_does_not_count() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.prepared(1);
    let frame = Down::Order { execution: id(1), verdict: Verdict::Superseded };
    bench.on(Event::Frame { link: 0, frame });
    bench.on(Event::LinkDown { link: 0 });
    bench.started(1);
    bench.ended(1, code(0));
    let old = Event::OutputSent { execution: id(1), link: 0, sizes: SIZES };
    bench.on(old);
    assert!(bench.outcomes(1).is_empty());
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
}

#[test]
fn a_task_that_cannot_be_understood_is_refused_with_the_reason() {
    let mut bench = Bench::linked();
    bench.frame(start(1, r#"{"command":"true","planet":"later"}"#));
    assert_eq!(bench.class(1), Some(FailureClass::Internal));
    assert!(!bench.state.holds(id(1)));
}

#[test]
fn a_server_that_wants_the_worker_drained_gets_its_wish() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.frame(Down::Settings {
        settings: settings(2),
        wanted: WantedState::Draining,
        lost_after_seconds: None,
    });
    bench.ended(1, code(0));
    bench.output_sent(1);
    assert_eq!(bench.ack().last(), Some(&Effect::Exit));
}

#[test]
fn a_heartbeat_tells_the_phases_that_are_news() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    let told = |bench: &mut Bench| {
        let effects = bench.on(Event::HeartbeatDue);
        effects.iter().map(brief).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(&mut bench), "heartbeat([(ExecutionId(1), Downloading)])");
    assert_eq!(told(&mut bench), "heartbeat([])");
    bench.prepared(1);
    bench.started(1);
    assert_eq!(told(&mut bench), "heartbeat([(ExecutionId(1), Running)])");
}
