//! Executions that the server does not know.

use crate::api::link::{Down, ReportEvent};
use crate::api::worker::Orphan;
use crate::domain::execution::Phase;
use crate::domain::signal::Signal;
use crate::domain::{Epoch, TaskId, Timestamp};

use super::super::*;
use super::bench::*;

/// An agent that runs 1, holds 2, and is welcomed by the same database after a
/// restore.
fn restored() -> Bench {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.accept(2, PLAIN);
    bench.hang_up();
    let mut restored = welcome("s");
    restored.epoch = Epoch(2);
    bench.dial(restored.clone());
    bench.hang_up();
    bench.dial(restored);
    bench
}

#[test]
fn orphans_are_named_with_each_hello_and_heartbeat() {
    let mut bench = restored();
    let expected = Orphan {
        execution: id(1),
        task: TaskId(101),
        own_store: true,
        phase: Phase::Running,
        started_at: Some(Timestamp(0)),
        ended: false,
        command: "true".to_owned(),
    };
    let orphans = last_standing(&bench.effects).orphans;
    assert_eq!(orphans[0], expected);
    assert_eq!(orphans[1].phase, Phase::Downloading);
    bench.heartbeat();
    assert_eq!(last_standing(&bench.effects).orphans, orphans);
    let mut bench = bench.restarted(vec![running(1)]);
    let effects = bench.on(Event::LinkUp { link: 1 });
    assert_eq!(last_standing(&effects).orphans.len(), 2);
    bench.link = 1;
    bench.frame(Down::Welcome(Box::new(welcome("other"))));
    assert!(!last_standing(&bench.effects).orphans[0].own_store, "nor do others know them");
}

#[test]
fn an_adopted_orphan_is_introduced_and_told_anew() {
    let mut bench = restored();
    let link = bench.link;
    let effects = bench.frame(Down::Adopt { executions: vec![id(1), id(2), id(3)] });
    assert_eq!(effects.last(), Some(&Effect::Redial { link }));
    bench.hang_up();
    bench.reports.clear();
    let mut again = keep(&[1, 2]);
    again.epoch = Epoch(2);
    let effects = bench.dial(again.clone());
    let Effect::SendHello { held, store: told, .. } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(held.len(), 2);
    assert_eq!(told.as_ref().unwrap().1, Epoch(2));
    assert!(last_standing(&effects).orphans.is_empty());
    let events: Vec<_> = bench.reports.iter().map(|told| told.event.clone()).collect();
    assert_eq!(events, [ReportEvent::Started, ReportEvent::Accepted]);
    bench.ack();
    bench.prepared(2);
    assert_eq!(bench.spawned(), [1, 2]);

    let mut bench = bench.restarted(vec![running(1), running(2)]);
    bench.dial(again);
    bench.ended(1, code(0));
    bench.output_sent(1);
    assert_eq!(bench.class(1), None, "it stays adopted");
}

#[test]
fn an_abandoned_orphan_ends_and_is_forgotten() {
    let mut bench = restored();
    let told = bench.reports.len();
    let effects = bench.frame(Down::Abandon { executions: vec![id(1), id(2)] });
    assert!(last_standing(&effects).orphans.is_empty());
    assert_eq!(bench.signals(), [(1, Signal::Kill)]);
    assert!(!bench.state.holds(id(2)));
    let mut bench = bench.restarted(vec![running(1)]);
    assert_eq!(bench.signals(), [(1, Signal::Kill)]);
    bench.ended(1, end(Exit::Signal { number: 9, out_of_memory: false }));
    assert!(!bench.state.holds(id(1)));
    assert!(bench.reports.len() <= told);
}

#[test]
fn what_is_no_orphan_is_neither_adopted_nor_abandoned() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    let executions = vec![id(1)];
    assert!(bench.frame(Down::Adopt { executions: executions.clone() }).is_empty());
    bench.frame(Down::Abandon { executions });
    assert!(bench.signals().is_empty());
}

#[test]
fn what_a_copy_of_the_database_knows_goes_on_for_it() {
    let mut bench = Bench::linked();
    bench.run(1, PLAIN);
    bench.accept(2, PLAIN);
    bench.run(3, PLAIN);
    bench.hang_up();
    bench.reports.clear();
    let mut copy = keep(&[1, 2]);
    copy.epoch = Epoch(2);
    copy.verdicts.push((id(3), crate::api::link::Verdict::Unknown));
    let effects = bench.dial(copy);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Redial { .. })));
    let told: Vec<_> = bench.reports.iter().map(|told| told.event.clone()).collect();
    assert_eq!(told, [ReportEvent::Started, ReportEvent::Accepted], "the copy may not know");
    let orphans = last_standing(&bench.effects).orphans;
    assert_eq!(orphans.iter().map(|orphan| orphan.execution).collect::<Vec<_>>(), [id(3)]);
    bench.ended(1, code(0));
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
    assert!(bench.signals().is_empty());
}
