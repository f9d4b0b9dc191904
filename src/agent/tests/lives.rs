//! Executions, from their order to their end.

use std::fs;

use serde_json::json;

use crate::agent::Stop;
use crate::api::link::{ReportEvent, Verdict};
use crate::domain::execution::FailureClass;

use super::bench::Bench;

fn shell(script: &str) -> serde_json::Value {
    json!({ "command": script, "shell": "sh" })
}

#[tokio::test]
async fn a_command_runs_and_its_output_and_exit_code_arrive() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &shell("echo one; echo two >&2; pwd")).await;
    session.start(2, &shell("exit 3")).await;
    session.start(3, &json!({ "command": "true" })).await;
    let outcome = session.until_ended(1).await;
    assert_eq!((outcome.exit_code, outcome.failure), (Some(0), None));
    let folder = bench.task_folder(1);
    assert_eq!(session.stdout(1), format!("one\n{}\n", folder.display()));
    assert_eq!(session.stderr(1), "two\n");
    let outcome = session.until_ended(2).await;
    assert_eq!(outcome.exit_code, Some(3));
    assert_eq!(outcome.failure.unwrap().class, FailureClass::Exit);
    session.until_ended(3).await;
    agent.stop(Stop::Drain).await.unwrap();
    session.until_closed().await;
    assert!(bench.task_folder(2).exists(), "the files of a failure are kept");
}

#[tokio::test]
async fn inputs_arrive_and_outputs_leave() {
    let bench = Bench::new().await;
    let input = bench.folder().join("reads.txt");
    fs::write(&input, "GATTACA\n").unwrap();
    let output = bench.folder().join("results");
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let mut spec = shell("tr G C < $INPUT/reads.txt > $OUTPUT/changed.txt; exit 4");
    spec["input"] = json!([format!("file://{}", input.display())]);
    spec["output"] = json!(format!("file://{}/", output.display()));
    session.start(1, &spec).await;
    let outcome = session.until_ended(1).await;
    assert_eq!(outcome.exit_code, Some(4));
    assert!(session.has(1, &ReportEvent::Uploading { exit_code: Some(4) }));
    assert_eq!(fs::read_to_string(output.join("changed.txt")).unwrap(), "CATTACA\n");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_missing_input_fails_the_execution() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let spec = json!({ "command": "true", "input": ["file:///nonexistent/reads.txt"] });
    session.start(1, &spec).await;
    let failure = session.until_ended(1).await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Download);
    assert!(failure.reason.contains("/nonexistent/reads.txt"), "{}", failure.reason);
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_command_that_is_not_there_says_so_in_its_own_output() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &json!({ "command": "no-such-program-here" })).await;
    session.start(2, &json!({ "command": "echo 'open" })).await;
    let outcome = session.until_ended(1).await;
    assert_eq!(outcome.exit_code, Some(127));
    assert_eq!(session.stderr(1), "scitq: program `no-such-program-here` not found\n");
    assert_eq!(session.until_ended(2).await.exit_code, Some(127));
    assert!(session.stderr(2).contains("quote"), "{}", session.stderr(2));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_command_ends() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &shell("echo up; sleep 1000")).await;
    session.until("its output", |session| session.stdout(1) == "up\n").await;
    session.order(1, Verdict::Cancelled).await;
    let outcome = session.until_ended(1).await;
    assert_eq!(outcome.failure.unwrap().class, FailureClass::Cancelled);
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn the_run_limit_ends_a_command() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &json!({ "command": "sleep 1000", "run_timeout": 1 })).await;
    let failure = session.until_ended(1).await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Timeout);
    assert_eq!(failure.reason, "still running after 1 s, the run limit");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn large_output_comes_whole_and_others_are_not_kept_waiting() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &shell("head -c 30000000 /dev/zero; exit 1")).await;
    session.start(2, &shell("echo small")).await;
    session.until_ended(2).await;
    session.until_ended(1).await;
    assert_eq!(session.stdout(2), "small\n");
    assert_eq!(session.stdout(1).len(), 30_000_000);
    agent.stop(Stop::Detach).await.unwrap();
}
