//! Every stage and event: what comes out, as one snapshot.

use std::fmt::Write;

use crate::api::link::{Down, ReportEvent, Verdict};
use crate::domain::execution::Suspension;
use crate::domain::signal::Signal;

use super::super::execution::{Stage, Upload};
use super::super::*;
use super::bench::*;

const STAGES: [&str; 14] = [
    "restored",
    "downloading",
    "ready",
    "ready, held back",
    "starting",
    "running",
    "running, suspended",
    "running, cancelled",
    "running, superseded",
    "ending",
    "awaiting leave",
    "uploading",
    "upload failed",
    "reported",
];

const EVENTS: [&str; 28] = [
    "start again",
    "prepared",
    "download failed",
    "started",
    "not found",
    "cannot start",
    "exit 0",
    "exit 3",
    "lost",
    "uploaded",
    "upload failed",
    "upload failed for good",
    "output sent",
    "output from 1, 1",
    "keep",
    "superseded",
    "cancelled",
    "killed",
    "settled",
    "give back",
    "unknown",
    "hold",
    "suspend",
    "go on",
    "signal",
    "edit",
    "edit of the data",
    "link down",
];

fn bench_at(stage: &str) -> Bench {
    let mut bench = Bench::linked();
    match stage {
        "downloading" => bench.accept(1, WITH_OUTPUT),
        "ready" => {
            // No slot is free.
            bench.run(8, PLAIN);
            bench.run(9, PLAIN);
            bench.accept(1, WITH_OUTPUT);
            bench.prepared(1);
        }
        "ready, held back" => {
            bench.accept(1, WITH_OUTPUT);
            bench.suspend(1, Suspension::Start);
            bench.prepared(1);
        }
        "starting" => {
            bench.accept(1, WITH_OUTPUT);
            bench.prepared(1);
        }
        "restored" => {
            bench.accept(1, WITH_OUTPUT);
            let records = bench.effects.iter().filter_map(|effect| match effect {
                Effect::Journal(record) => Some(record.clone()),
                _ => None,
            });
            let store = Some((store("s"), crate::domain::Epoch(1)));
            let records: Vec<Record> = records.collect();
            bench.state = AgentState::new(Limits::default(), machine(), settings(2), store);
            bench.state.restore(records);
            bench.dial(keep(&[1]));
            bench.ack();
        }
        "ending" | "reported" => {
            bench.run(1, PLAIN);
            bench.ended(1, code(0));
            if stage == "reported" {
                bench.output_sent(1);
            }
        }
        _ => {
            bench.run(1, WITH_OUTPUT);
            match stage {
                "running, suspended" => drop(bench.suspend(1, Suspension::Run)),
                "running, cancelled" => drop(bench.order(1, Verdict::Cancelled)),
                "running, superseded" => drop(bench.order(1, Verdict::Superseded)),
                "awaiting leave" | "uploading" | "upload failed" => {
                    bench.ended(1, code(0));
                    if stage != "awaiting leave" {
                        bench.ack();
                    }
                    if stage == "upload failed" {
                        bench.uploaded(1, Err(failure(true)));
                    }
                }
                _ => {}
            }
        }
    }
    bench
}

fn happen(bench: &mut Bench, event: &str) -> Vec<Effect> {
    match event {
        "start again" => bench.frame(start(1, PLAIN)),
        "prepared" => bench.prepared(1),
        "download failed" => {
            bench.on(Event::Prepared { execution: id(1), result: Err(failure(false)) })
        }
        "started" => bench.started(1),
        "not found" | "cannot start" => {
            let exit_code = (event == "not found").then_some(127);
            let failure = NotStarted { exit_code, reason: event.to_owned() };
            bench.on(Event::NotStarted { execution: id(1), failure })
        }
        "exit 0" => bench.ended(1, code(0)),
        "exit 3" => bench.ended(1, code(3)),
        "lost" => bench.on(Event::SupervisorUp(Vec::new())),
        "uploaded" => bench.uploaded(1, Ok(())),
        "upload failed" => bench.uploaded(1, Err(failure(true))),
        "upload failed for good" => bench.uploaded(1, Err(failure(false))),
        "output sent" => bench.output_sent(1),
        "output from 1, 1" => {
            let have = crate::domain::execution::OutputSizes { stdout: 1, stderr: 1 };
            bench.frame(Down::OutputFrom { execution: id(1), have })
        }
        "keep" => bench.order(1, Verdict::Keep),
        "superseded" => bench.order(1, Verdict::Superseded),
        "cancelled" => bench.order(1, Verdict::Cancelled),
        "killed" => bench.order(1, Verdict::Killed),
        "hold" => bench.suspend(1, Suspension::Start),
        "suspend" => bench.suspend(1, Suspension::Run),
        "go on" => bench.suspend(1, Suspension::No),
        "signal" => bench.frame(Down::Signal { execution: id(1), signal: Signal::Usr1 }),
        "edit" => bench.edit(1, 1, WITH_LIMITS),
        "edit of the data" => bench.edit(1, 1, r#"{"command":"cat","stdin":"text"}"#),
        "settled" => bench.order(1, Verdict::Settled),
        "give back" => bench.order(1, Verdict::GiveBack),
        "unknown" => bench.order(1, Verdict::Unknown),
        "link down" => bench.hang_up(),
        _ => panic!("{event}"),
    }
}

fn describe(bench: &Bench) -> String {
    let Some(held) = bench.state.executions.get(&id(1)) else { return "gone".to_owned() };
    let mut text = match &held.stage {
        Stage::Restored => "restored".to_owned(),
        Stage::Downloading(_) => "downloading".to_owned(),
        Stage::Ready => "ready".to_owned(),
        Stage::Starting => "starting".to_owned(),
        Stage::Running => "running".to_owned(),
        Stage::Ending(ending) => {
            let upload = match ending.upload {
                Upload::Done => "",
                Upload::AwaitingLeave { .. } => " (awaiting leave)",
                Upload::Running { .. } => " (uploading)",
                Upload::Waiting { .. } => " (upload waits)",
            };
            format!("ending{upload}")
        }
        Stage::Reported(_) => "reported".to_owned(),
    };
    if let Some(stop) = held.stop {
        write!(text, ", {stop:?}").unwrap();
    }
    if held.suspension != Suspension::No {
        write!(text, ", held {:?}", held.suspension).unwrap();
    }
    if held.order.revision > 0 {
        write!(text, ", revision {}", held.order.revision).unwrap();
    }
    if held.wanted_back {
        text.push_str(", wanted back");
    }
    if held.orphaned {
        text.push_str(", orphaned");
    }
    text
}

fn report(event: &ReportEvent) -> String {
    match event {
        ReportEvent::Accepted => "accepted".to_owned(),
        ReportEvent::Started => "started".to_owned(),
        ReportEvent::Uploading { exit_code } => format!("uploading {exit_code:?}"),
        ReportEvent::Finished { outcome, .. } => match &outcome.failure {
            None => "succeeded".to_owned(),
            Some(failure) => format!("{}: {}", failure.class, failure.reason),
        },
    }
}

#[test]
fn every_stage_and_event() {
    let mut table = String::new();
    for stage in STAGES {
        writeln!(table, "{stage}").unwrap();
        for event in EVENTS {
            let mut bench = bench_at(stage);
            let before = describe(&bench);
            bench.reports.clear();
            let effects = happen(&mut bench, event);
            let after = describe(&bench);
            let outcome = if after == before { "=".to_owned() } else { after };
            let mut done: Vec<String> = effects
                .iter()
                .filter(|effect| !brief(effect).starts_with("hello"))
                .map(brief)
                .collect();
            let own = bench.reports.iter().filter(|report| report.execution == id(1));
            done.extend(own.map(|told| format!("report({})", report(&told.event))));
            writeln!(table, "  {event}: {outcome} {}", done.join(", ")).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
