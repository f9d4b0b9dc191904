//! Edits of tasks that the agent has, and who gets the slots.

use crate::api::link::{Down, ReportEvent};
use crate::domain::execution::FailureClass;
use crate::domain::worker::WantedState;

use super::super::*;
use super::bench::*;

#[test]
fn an_edit_before_the_start_counts_and_a_later_one_does_not() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    let effects: Vec<String> =
        bench.edit(1, 2, r#"{"command":"false"}"#).iter().map(brief).collect();
    assert_eq!(effects, ["journal(changed 2)"], "the data is the same");
    bench.edit(1, 1, r#"{"command":"older"}"#);
    bench.on(Event::Prepared { execution: id(1), result: Ok(()) });
    bench.edit(1, 3, r#"{"command":"late"}"#);
    let spawned = bench.effects.iter().find_map(|effect| match effect {
        Effect::Spawn(order) => Some(order.spec.command.to_string()),
        _ => None,
    });
    assert_eq!(spawned.as_deref(), Some("false"));
    bench.started(1);
    let told = bench.reports.last().unwrap();
    assert_eq!((&told.event, told.revision), (&ReportEvent::Started, 2));
    bench.hang_up();
    let effects = bench.dial(keep(&[1]));
    let Effect::SendHello { held, .. } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(held[0].revision, 2);
}

#[test]
fn an_edit_of_the_data_waits_for_the_end_of_the_download_that_it_breaks_off() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    let with_input = r#"{"command":"true","input":["file:///in"]}"#;
    let effects: Vec<String> = bench.edit(1, 1, with_input).iter().map(brief).collect();
    assert_eq!(effects, ["journal(changed 1)", "stop transfer"]);
    assert!(bench.edit(1, 2, with_input).iter().all(|effect| brief(effect) != "prepare"));
    let broken_off = Err(failure(false));
    let effects = bench.on(Event::Prepared { execution: id(1), result: broken_off });
    assert!(matches!(effects[..], [Effect::Prepare { ground: Ground::Edited, .. }]));
    assert!(bench.outcomes(1).is_empty());
    bench.prepared(1);
    assert_eq!(bench.spawned(), [1]);
}

#[test]
fn a_ready_execution_is_edited_as_well() {
    let mut bench = Bench::linked();
    bench.frame(start(1, PLAIN));
    bench.prepared(1);
    let with_stdin = r#"{"command":"cat","stdin":"text"}"#;
    let effects: Vec<String> = bench.edit(1, 1, with_stdin).iter().map(brief).collect();
    assert_eq!(effects, ["journal(changed 1)", "prepare"]);
    bench.ack();
    assert!(bench.spawned().is_empty(), "its standard input is not there yet");
    bench.prepared(1);
    assert_eq!(bench.spawned(), [1]);
}

#[test]
fn an_edit_outlives_the_agent() {
    let mut before = Bench::linked();
    before.accept(1, PLAIN);
    before.edit(1, 4, r#"{"command":"edited"}"#);
    let mut bench = before.restarted(Vec::new());
    bench.dial(keep(&[1]));
    bench.ack();
    bench.prepared(1);
    let Some(Effect::Spawn(order)) = bench.effects.last() else { panic!("not started") };
    assert_eq!((order.revision, order.spec.command.to_string().as_str()), (4, "edited"));
}

#[test]
fn an_edit_that_cannot_be_understood_sends_the_task_elsewhere() {
    let mut bench = Bench::linked();
    bench.accept(1, PLAIN);
    bench.edit(1, 1, r#"{"command":"true","container":"later"}"#);
    assert_eq!(bench.class(1), Some(FailureClass::Internal));
}

#[test]
fn slots_go_by_priority_and_then_to_the_older_task() {
    let mut bench = Bench::linked();
    bench.on(Event::SupervisorDown);
    let with = |priority: i32| format!(r#"{{"command":"true","priority":{priority}}}"#);
    for (number, priority) in [(1, -1), (2, 0), (3, 7), (4, 7)] {
        bench.accept(number, &with(priority));
        bench.prepared(number);
    }
    bench.edit(2, 1, &with(8));
    bench.on(Event::SupervisorUp(Vec::new()));
    assert_eq!(bench.spawned(), [2, 3]);
    for number in [2, 3] {
        bench.started(number);
        bench.ended(number, code(0));
    }
    assert_eq!(bench.spawned(), [2, 3, 4, 1]);
}

#[test]
fn a_large_task_waits_for_its_slots_and_is_not_overtaken() {
    let mut bench = Bench::linked();
    // All four cores, which are two slots.
    let large = r#"{"command":"true","cpu":4}"#;
    bench.run(1, PLAIN);
    bench.accept(2, large);
    bench.accept(3, PLAIN);
    bench.prepared(3);
    assert_eq!(bench.spawned(), [1, 3]);
    bench.prepared(2);
    bench.accept(4, PLAIN);
    bench.prepared(4);
    bench.started(3);
    bench.ended(1, code(0));
    assert_eq!(bench.spawned(), [1, 3], "a slot is free, and kept for the large one");
    bench.ended(3, code(0));
    assert_eq!(bench.spawned(), [1, 3, 2]);
    bench.started(2);
    bench.ended(2, code(0));
    assert_eq!(bench.spawned(), [1, 3, 2, 4]);
}

#[test]
fn memory_takes_slots_as_well_and_more_slots_are_smaller_ones() {
    let mut bench = Bench::linked();
    let half = r#"{"command":"true","memory":4294967296}"#;
    for number in 1..=3 {
        bench.accept(number, half);
        bench.prepared(number);
    }
    assert_eq!(bench.spawned(), [1, 2]);
    bench.frame(Down::Settings {
        settings: settings(8),
        wanted: WantedState::Running,
        lost_after_seconds: Some(600),
    });
    assert_eq!(bench.spawned(), [1, 2], "two halves of the machine are taken");
    bench.started(1);
    bench.ended(1, code(0));
    assert_eq!(bench.spawned(), [1, 2, 3]);
}

#[test]
fn a_task_that_this_machine_can_never_hold_is_refused() {
    let mut bench = Bench::linked();
    bench.accept(1, r#"{"command":"true","cpu":5}"#);
    bench.prepared(1);
    assert_eq!(bench.class(1), Some(FailureClass::Refused));
}
