//! Outputs that are taken over, and outputs that are sent once more.

use crate::api::cache::{CacheEntry, CacheKey, CachedFile};
use crate::api::link::{Down, ReportEvent, Resend, Start, Verdict};
use crate::domain::execution::{FailureClass, Outcome, Reused, Suspension};
use crate::domain::{TaskId, Timestamp};

use super::super::*;
use super::bench::*;

const CACHED: &str = r#"{"command":"true","output":"file:///out/","use_cache":true}"#;

const REUSED: Reused = Reused { execution: crate::domain::ExecutionId(3), task: TaskId(4) };

fn files() -> Vec<CachedFile> {
    vec![CachedFile { name: "x".to_owned(), content: None }]
}

/// Leads an execution to where its data are there and others were asked for.
fn keyed(bench: &mut Bench, reuse: Option<ReusePlace>) -> Vec<Effect> {
    bench.accept(1, CACHED);
    bench.on(Event::Keyed { execution: id(1), key: CacheKey("k".to_owned()) });
    if let Some(place) = reuse {
        let reuse = Box::new(Reuse { reused: REUSED, place });
        bench.on(Event::Reusable { execution: id(1), reuse });
    }
    bench.prepared(1)
}

fn cached(bench: &Bench) -> Option<CacheEntry> {
    bench.reports.iter().rev().find_map(|report| match &report.event {
        ReportEvent::Finished { cached, .. } => Some(cached.as_deref().cloned()),
        _ => None,
    })?
}

#[test]
fn what_nobody_made_is_made_and_told() {
    let mut bench = Bench::linked();
    let effects = keyed(&mut bench, None);
    assert!(matches!(effects[..], [Effect::Spawn(_)]), "{effects:?}");
    bench.started(1);
    // The key outlives the agent.
    let mut bench = bench.restarted(vec![running(1)]);
    bench.dial(keep(&[1]));
    bench.ack();
    bench.ended(1, code(0));
    bench.ack();
    bench.on(Event::Made { execution: id(1), files: files() });
    bench.uploaded(1, Ok(()));
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
    let entry = cached(&bench).unwrap();
    assert_eq!((entry.key.0.as_str(), entry.output.as_str()), ("k", "file:///out/"));
    assert_eq!(entry.files, files());
}

#[test]
fn outputs_that_are_in_place_are_taken_over_without_a_run() {
    let mut bench = Bench::linked();
    keyed(&mut bench, Some(ReusePlace::Same));
    assert!(bench.spawned().is_empty());
    assert_eq!(bench.outcomes(1)[0].reused, Some(REUSED));
    assert_eq!(bench.class(1), None);
    assert_eq!(cached(&bench), None);
    let effects = bench.ack();
    assert!(effects.iter().any(|effect| brief(effect) == "discard(Remove)"), "{effects:?}");
}

#[test]
fn outputs_from_elsewhere_are_sent_with_leave() {
    let mut bench = Bench::linked();
    keyed(&mut bench, Some(ReusePlace::Other(files())));
    assert!(bench.outcomes(1).is_empty());
    let effects = bench.ack();
    assert!(matches!(effects[..], [Effect::Upload(_)]), "{effects:?}");
    bench.uploaded(1, Ok(()));
    assert_eq!(bench.outcomes(1)[0].reused, Some(REUSED));
    assert_eq!(cached(&bench).unwrap().files, files());
    assert!(bench.spawned().is_empty());
}

#[test]
fn what_is_held_back_takes_nothing_over_and_what_is_edited_asks_again() {
    let mut bench = Bench::linked();
    bench.accept(1, CACHED);
    bench.suspend(1, Suspension::Start);
    let reuse = Box::new(Reuse { reused: REUSED, place: ReusePlace::Same });
    bench.on(Event::Reusable { execution: id(1), reuse });
    bench.prepared(1);
    assert!(bench.outcomes(1).is_empty());
    let edited = CACHED.replace("true\"", "false\"");
    let effects = bench.edit(1, 1, &edited);
    assert!(effects.iter().any(|effect| brief(effect) == "prepare"), "{effects:?}");
    bench.prepared(1);
    bench.suspend(1, Suspension::No);
    assert_eq!(bench.spawned(), [1]);
}

fn resend(number: u64) -> Down {
    Down::Resend(Box::new(Resend {
        start: Start {
            execution: id(number),
            task: TaskId(number + 100),
            attempt: 1,
            revision: 0,
            spec: serde_json::value::RawValue::from_string(WITH_OUTPUT.to_owned()).unwrap(),
        },
        outcome: Outcome { exit_code: Some(0), ..Outcome::good() },
        accepted_at: Timestamp(1),
        started_at: Timestamp(2),
        ended_at: Timestamp(3),
        output: SIZES,
    }))
}

#[test]
fn outputs_are_sent_once_more_without_a_run() {
    let mut bench = Bench::linked();
    bench.frame(resend(1));
    let effects = bench.ack();
    assert!(matches!(effects[..], [Effect::Upload(_)]), "{effects:?}");
    // Neither a second order nor a new agent begins anything else.
    assert!(bench.frame(resend(1)).is_empty());
    let mut bench = bench.restarted(Vec::new());
    bench.dial(keep(&[1]));
    let effects = bench.ack();
    assert!(matches!(effects[..], [Effect::Upload(_)]), "{effects:?}");
    bench.uploaded(1, Ok(()));
    bench.output_sent(1);
    assert_eq!(bench.class(1), None);
    assert_eq!(bench.outcomes(1)[0].exit_code, Some(0));
    assert!(bench.spawned().is_empty());
}

#[test]
fn what_cannot_be_sent_once_more_fails_as_before_and_can_be_ended() {
    let mut bench = Bench::linked();
    bench.frame(resend(1));
    bench.ack();
    bench.uploaded(1, Err(failure(false)));
    assert_eq!(bench.class(1), Some(FailureClass::Upload));
    let effects = bench.ack();
    assert!(effects.iter().any(|effect| brief(effect) == "discard(Keep)"), "{effects:?}");
    bench.frame(resend(2));
    bench.order(2, Verdict::Cancelled);
    assert_eq!(bench.class(2), Some(FailureClass::Cancelled));
}
