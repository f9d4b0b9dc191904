//! The rules of running: slots, leases, limits, transfers, ends.

use crate::api::link::{Down, ReportEvent, Verdict};
use crate::domain::execution::{FailureClass, OutputSizes};
use crate::domain::signal::Signal;

use super::super::*;
use super::bench::*;

#[test]
fn a_command_starts_only_after_the_server_knows_that_it_was_accepted() {
    let mut bench = Bench::linked();
    let effects = bench.frame(start(1, PLAIN));
    assert!(matches!(effects[0], Effect::Journal(Record::Accepted { .. })), "written down first");
    assert!(matches!(effects[1], Effect::Prepare { .. }), "downloads begin at once");
    assert_eq!(bench.reports[0].event, ReportEvent::Accepted);
    bench.prepared(1);
    assert!(bench.spawned().is_empty());
    bench.ack();
    assert_eq!(bench.spawned(), [1]);
}

#[test]
fn a_life_of_an_execution_is_told_in_full() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.ended(1, code(0));
    assert!(bench.outcomes(1).is_empty(), "its output comes first");
    bench.output_sent(1);
    let events: Vec<&ReportEvent> = bench.reports.iter().map(|report| &report.event).collect();
    assert!(matches!(
        events[..],
        [ReportEvent::Accepted, ReportEvent::Started, ReportEvent::Finished { output: SIZES, .. },]
    ));
    assert_eq!(bench.class(1), None);
    assert!(bench.state.holds(id(1)));
    let effects = bench.ack();
    assert_eq!(
        effects.iter().map(brief).collect::<Vec<_>>(),
        ["journal(gone Remove)", "forget command", "discard(Remove)"]
    );
    assert!(!bench.state.holds(id(1)));
}

#[test]
fn slots_go_to_the_oldest_and_come_free_at_the_end_of_a_command() {
    let mut bench = Bench::linked();
    for number in [4, 3, 2, 1] {
        bench.accept(number, WITH_OUTPUT);
    }
    for number in [1, 2, 3, 4] {
        bench.prepared(number);
    }
    assert_eq!(bench.spawned(), [1, 2]);
    bench.started(1);
    bench.started(2);
    bench.ended(2, code(0));
    assert_eq!(bench.spawned(), [1, 2, 3], "an upload holds no slot");
}

#[test]
fn a_lower_concurrency_kills_nothing_and_a_higher_one_starts_more() {
    let mut bench = Bench::linked();
    for number in 1..=4 {
        bench.accept(number, PLAIN);
        bench.prepared(number);
    }
    let with = |concurrency| Down::Settings {
        settings: settings(concurrency),
        wanted: crate::domain::worker::WantedState::Paused,
        lost_after_seconds: None,
    };
    bench.frame(with(1));
    bench.started(1);
    bench.started(2);
    bench.ended(1, code(0));
    assert_eq!(bench.spawned(), [1, 2]);
    assert!(bench.signals().is_empty());
    bench.frame(with(3));
    assert_eq!(bench.spawned(), [1, 2, 3, 4], "a paused worker starts what it has accepted");
}

#[test]
fn nothing_starts_when_the_last_word_of_the_server_is_too_old() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.hang_up();
    bench.pass(571);
    bench.prepared(1);
    assert!(bench.spawned().is_empty());
    let mut again = welcome("s");
    again.verdicts = vec![(id(1), Verdict::Keep)];
    bench.dial(again);
    assert_eq!(bench.spawned(), [1]);
}

#[test]
fn a_heartbeat_proves_contact_at_the_time_when_it_was_sent() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.on(Event::HeartbeatDue);
    bench.pass(3_600);
    bench.frame(Down::HeartbeatAck { number: 1, storage: None });
    bench.prepared(1);
    assert!(bench.spawned().is_empty(), "the machine slept with the answer in its pocket");
    bench.heartbeat();
    assert_eq!(bench.spawned(), [1]);
}

#[test]
fn while_the_server_is_away_everything_goes_on() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.accept(2, PLAIN);
    bench.hang_up();
    bench.prepared(2);
    assert_eq!(bench.spawned(), [1, 2]);
    bench.started(2);
    bench.ended(1, code(0));
    bench.ended(2, code(4));
    let told = bench.reports.len();
    let mut again = welcome("s");
    again.verdicts = vec![(id(1), Verdict::Keep), (id(2), Verdict::Keep)];
    again.output = vec![(id(1), OutputSizes { stdout: 3, stderr: 0 })];
    let effects: Vec<String> = bench.dial(again).iter().map(brief).collect();
    assert!(effects.contains(&"follow output(3, 0)".to_owned()), "{effects:?}");
    assert!(effects.contains(&"follow output(0, 0)".to_owned()), "{effects:?}");
    bench.output_sent(1);
    bench.output_sent(2);
    assert!(bench.reports.len() > told);
    assert_eq!(bench.class(1), None);
    assert_eq!(bench.class(2), Some(FailureClass::Exit));
}

#[test]
fn the_run_limit_terminates_and_then_kills() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_LIMITS);
    bench.pass(59);
    assert!(bench.signals().is_empty());
    bench.pass(1);
    assert_eq!(bench.signals(), [(1, Signal::Term)]);
    bench.pass(9);
    assert_eq!(bench.signals().len(), 1);
    bench.pass(1);
    assert_eq!(bench.signals()[1], (1, Signal::Kill));
    bench.ended(1, end(Exit::Signal { number: 9, out_of_memory: false }));
    bench.output_sent(1);
    assert_eq!(bench.class(1), Some(FailureClass::Timeout));
    let outcome = bench.outcomes(1)[0];
    assert_eq!(outcome.failure.as_ref().unwrap().reason, "still running after 60 s, the run limit");
    assert_eq!(outcome.signal, Some(9));
}

#[test]
fn the_download_limit_counts_downloads_only() {
    let mut bench = Bench::linked();
    bench.accept(1, WITH_LIMITS);
    bench.accept(2, WITH_LIMITS);
    bench.pass(29);
    bench.prepared(2);
    bench.pass(1);
    assert_eq!(bench.class(1), Some(FailureClass::Timeout));
    assert!(bench.effects.contains(&Effect::StopTransfer(id(1))));
    bench.pass(100);
    assert!(bench.outcomes(2).is_empty());
}

#[test]
fn a_failed_download_fails_the_execution() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.on(Event::Prepared { execution: id(1), result: Err(failure(false)) });
    assert_eq!(bench.class(1), Some(FailureClass::Download));
    assert!(bench.spawned().is_empty());
}

#[test]
fn a_machine_that_cannot_keep_the_data_is_not_the_fault_of_the_task() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    let full = TransferFailure { culprit: Culprit::Worker, ..failure(false) };
    bench.on(Event::Prepared { execution: id(1), result: Err(full) });
    assert_eq!(bench.class(1), Some(FailureClass::Internal));
}

#[test]
fn outputs_are_sent_after_leave_whatever_the_exit_code() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(3));
    let is_upload = |effect: &Effect| matches!(effect, Effect::Upload(_));
    assert!(!bench.effects.iter().any(is_upload));
    assert_eq!(bench.reports.last().unwrap().event, ReportEvent::Uploading { exit_code: Some(3) });
    assert!(bench.ack().iter().any(is_upload));
    bench.output_sent(1);
    assert!(bench.outcomes(1).is_empty());
    bench.uploaded(1, Ok(()));
    assert_eq!(bench.class(1), Some(FailureClass::Exit));
}

#[test]
fn a_superseded_execution_uploads_nothing() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(0));
    bench.ack_with(&[(id(1), Verdict::Superseded)]);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Upload(_))));
    assert!(!bench.state.holds(id(1)));
    assert!(bench.outcomes(1).is_empty());
}

#[test]
fn a_failed_upload_is_tried_for_a_day_with_growing_waits() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(0));
    bench.output_sent(1);
    bench.ack();
    let mut tries = 0;
    let mut seconds = 0;
    while bench.state.holds(id(1)) && bench.outcomes(1).is_empty() {
        bench.uploaded(1, Err(failure(true)));
        tries += 1;
        bench.heartbeat();
        while bench.outcomes(1).is_empty()
            && !bench.pass(1).iter().any(|effect| matches!(effect, Effect::Upload(_)))
        {
            seconds += 1;
        }
    }
    assert_eq!(bench.class(1), Some(FailureClass::Upload));
    assert!((86_000..86_400).contains(&seconds), "{seconds} s");
    assert!((290..320).contains(&tries), "{tries} tries");
    assert_eq!(bench.ack().last(), Some(&Effect::Discard { execution: id(1), files: Files::Keep }));
}

#[test]
fn outputs_wait_while_the_server_is_away_for_too_long() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(0));
    bench.ack();
    bench.hang_up();
    assert!(bench.pass(570).is_empty());
    assert_eq!(bench.pass(1), [Effect::StopTransfer(id(1))]);
    bench.uploaded(1, Err(failure(true)));
    let mut again = welcome("s");
    again.verdicts = vec![(id(1), Verdict::Keep)];
    let is_upload = |effect: &Effect| matches!(effect, Effect::Upload(_));
    assert!(!bench.dial(again).iter().any(is_upload));
    assert!(bench.ack().iter().any(is_upload), "they go once there is leave again");
}

#[test]
fn an_upload_that_can_never_go_well_fails_at_once() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(0));
    bench.output_sent(1);
    bench.ack();
    bench.uploaded(1, Err(failure(false)));
    assert_eq!(bench.class(1), Some(FailureClass::Upload));
}

#[test]
fn a_failed_command_stays_what_it_is_when_its_upload_fails_too() {
    let mut bench = Bench::linked();
    bench.run(1, WITH_OUTPUT);
    bench.ended(1, code(3));
    bench.output_sent(1);
    bench.ack();
    bench.uploaded(1, Err(failure(false)));
    assert_eq!(bench.class(1), Some(FailureClass::Exit));
    let reason = &bench.outcomes(1)[0].failure.as_ref().unwrap().reason;
    assert!(reason.ends_with("; its outputs could not be sent: no such file"), "{reason}");
}

#[test]
fn ends_are_classified() {
    let cases = [
        (Exit::Code(0), None),
        (Exit::Code(1), Some(FailureClass::Exit)),
        (Exit::Signal { number: 11, out_of_memory: false }, Some(FailureClass::Signal)),
        (Exit::Lost { reason: "gone".to_owned() }, Some(FailureClass::Lost)),
    ];
    for (exit, class) in cases {
        let mut bench = Bench::linked();
        bench.run(1, PLAIN);
        bench.ended(1, end(exit));
        bench.output_sent(1);
        assert_eq!(bench.class(1), class);
    }
}

#[test]
fn a_command_that_is_not_there_fails_as_a_shell_has_it() {
    let mut bench = Bench::linked();
    bench.accept(1, WITH_OUTPUT);
    bench.prepared(1);
    let failure = NotStarted { exit_code: Some(127), reason: "not found".to_owned() };
    bench.on(Event::NotStarted { execution: id(1), failure });
    bench.output_sent(1);
    assert_eq!(bench.class(1), Some(FailureClass::Exit));
    assert_eq!(bench.outcomes(1)[0].exit_code, Some(127));
}

#[test]
fn an_end_that_overtakes_the_word_of_the_start_tells_both() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.prepared(1);
    bench.ended(1, code(0));
    bench.started(1);
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
    let starts = bench.reports.iter().filter(|report| report.event == ReportEvent::Started);
    assert_eq!(starts.count(), 1);
}

#[test]
fn a_worker_that_drains_leaves_after_its_last_execution() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    let effects = bench.on(Event::Drain);
    assert!(matches!(
        effects[..],
        [Effect::SendHeartbeat { standing: Standing { draining: true, .. }, .. }]
    ));
    bench.frame(start(2, PLAIN));
    assert_eq!(bench.class(2), Some(FailureClass::Refused));
    bench.ended(1, code(0));
    bench.output_sent(1);
    assert!(!bench.effects.contains(&Effect::Exit));
    assert_eq!(bench.ack().last(), Some(&Effect::Exit));
}

#[test]
fn a_machine_that_is_taken_away_gives_all_back_and_leaves() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    let reason = "it was sent SIGUSR2".to_owned();
    let effects = bench.on(Event::Evict { reason: reason.clone() });
    assert!(
        matches!(
            &effects[..],
            [
                Effect::SendEvicted { reason: said, .. },
                Effect::SendHeartbeat { standing: Standing { draining: true, .. }, .. }
            ] if *said == reason
        ),
        "{effects:?}"
    );
    assert!(bench.on(Event::Evict { reason }).is_empty());
    bench.frame(start(2, PLAIN));
    assert_eq!(bench.class(2), Some(FailureClass::Refused));
    // What its machine does to it before the server has spoken is not the command's doing.
    bench.ended(1, end(Exit::Signal { number: 15, out_of_memory: false }));
    bench.output_sent(1);
    assert_eq!(bench.class(1), Some(FailureClass::Evicted));
    assert_eq!(bench.ack().last(), Some(&Effect::Exit));
}

#[test]
fn an_end_that_overtakes_the_end_of_its_job_uses_no_retry() {
    let mut bench = Bench::linked();
    bench.state.limits.unasked_term = UnaskedTerm::EndOfJob;
    bench.run(1, PLAIN);
    bench.run(2, PLAIN);
    bench.ended(1, end(Exit::Signal { number: 15, out_of_memory: false }));
    bench.ended(2, code(1));
    bench.output_sent(1);
    bench.output_sent(2);
    assert_eq!(bench.class(1), Some(FailureClass::Lost));
    assert_eq!(bench.class(2), Some(FailureClass::Exit));
}
