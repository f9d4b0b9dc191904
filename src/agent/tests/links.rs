//! Links that break, agents that die, tokens.

use std::time::Duration;

use serde_json::json;

use crate::agent::link::LinkError;
use crate::agent::{AgentError, Secret, Stop};
use crate::api::link::{Down, RefusedLink, ReportEvent, Verdict};
use crate::domain::execution::{FailureClass, Phase};

use super::bench::{Agent, Bench, Session, welcome};

fn shell(script: &str) -> serde_json::Value {
    json!({ "command": script, "shell": "sh" })
}

/// A command that says `up`, and ends when the test makes the file.
fn waits_for(path: &std::path::Path) -> serde_json::Value {
    shell(&format!("echo up; until [ -e {} ]; do sleep 0.01; done; echo down", path.display()))
}

/// The agent leaves when it has nothing left, and the server listens meanwhile.
async fn drain(agent: Agent, session: Session) {
    let (left, ()) = tokio::join!(agent.stop(Stop::Drain), session.until_closed());
    left.unwrap();
}

#[tokio::test]
async fn a_killed_agent_loses_nothing() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let gate = bench.folder().join("gate");
    session.start(1, &waits_for(&gate)).await;
    session.start(2, &shell("echo done; exit 7")).await;
    session.until_ended(2).await;
    session.until("its output", |session| session.stdout(1) == "up\n").await;
    agent.kill().await;
    std::fs::write(&gate, "").unwrap();
    session.until_closed().await;

    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let held = session.hello.held.iter().find(|held| held.execution.0 == 1).unwrap();
    assert!(held.started_at.is_some());
    assert_eq!(session.until_ended(1).await.exit_code, Some(0));
    assert_eq!(session.stdout(1), "up\ndown\n");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn an_end_that_was_not_acknowledged_is_told_by_the_next_agent() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &shell("echo text; exit 7")).await;
    session.until_started(1).await;
    session.acknowledges = false;
    session.until_ended(1).await;
    agent.kill().await;

    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    assert!(session.hello.held[0].ended);
    assert_eq!(session.until_ended(1).await.exit_code, Some(7));
    assert_eq!(session.stdout(1), "text\n");
    drain(agent, session).await;

    let agent = bench.start_agent();
    assert!(bench.greet().await.hello.held.is_empty());
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn what_was_accepted_is_started_by_the_next_agent() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.acknowledges = false;
    session.start(1, &shell("echo $SCITQ_ATTEMPT")).await;
    session.until("it is accepted", |session| session.has(1, &ReportEvent::Accepted)).await;
    agent.kill().await;

    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let phase = session.hello.held[0].phase;
    assert!(matches!(phase, Phase::Downloading | Phase::Ready), "{phase}");
    assert_eq!(session.until_ended(1).await.exit_code, Some(0));
    assert_eq!(session.stdout(1), "1\n");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_broken_link_is_dialled_again_and_output_goes_on_where_it_was() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let gate = bench.folder().join("gate");
    session.start(1, &waits_for(&gate)).await;
    session.until("its output", |session| session.stdout(1) == "up\n").await;
    let output = session.output.clone();
    drop(session);
    std::fs::write(&gate, "").unwrap();

    let mut session = bench.greet().await;
    session.output = output;
    let mut reply = welcome();
    let execution = session.hello.held[0].execution;
    reply.verdicts = vec![(execution, Verdict::Keep)];
    reply.output =
        vec![(execution, crate::domain::execution::OutputSizes { stdout: 3, stderr: 0 })];
    session.send(Down::Welcome(Box::new(reply))).await;
    session.until_ended(1).await;
    assert_eq!(session.stdout(1), "up\ndown\n");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_detaches_leaves_its_commands_to_the_next_one() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let gate = bench.folder().join("gate");
    session.start(1, &waits_for(&gate)).await;
    session.until_started(1).await;
    tokio::time::timeout(Duration::from_secs(2), agent.stop(Stop::Detach)).await.unwrap().unwrap();
    session.until_closed().await;
    std::fs::write(&gate, "").unwrap();
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.until_ended(1).await;
    drain(agent, session).await;
}

#[tokio::test]
async fn a_superseded_command_is_gone_with_its_files() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &shell("sleep 1000")).await;
    session.until_started(1).await;
    session.order(1, Verdict::Superseded).await;
    agent.stop(Stop::Drain).await.unwrap();
    assert!(!bench.task_folder(1).join("log").exists());
}

#[tokio::test]
async fn a_second_agent_on_one_workdir_is_turned_away() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let _session = bench.welcome().await;
    let error = bench.start_agent().end().await.unwrap_err();
    assert!(matches!(error, AgentError::Busy { .. }), "{error}");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_join_token_is_exchanged_and_falls_back_when_the_server_forgot() {
    let mut bench = Bench::new().await;
    bench.token = Some(Secret("join".to_owned()));
    let agent = bench.start_agent();
    let mut session = bench.greet().await;
    assert_eq!(session.authorization.as_deref(), Some("Bearer join"));
    let mut reply = welcome();
    reply.token = Some("bound".to_owned());
    session.send(Down::Welcome(Box::new(reply))).await;
    session.start(1, &json!({ "command": "true" })).await;
    session.until_ended(1).await;
    drop(session);
    let session = bench.greet().await;
    assert_eq!(session.authorization.as_deref(), Some("Bearer bound"));
    agent.stop(Stop::Detach).await.unwrap();

    let agent = bench.start_agent();
    bench.refuse(401).await;
    let session = bench.greet().await;
    assert_eq!(session.authorization.as_deref(), Some("Bearer join"));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_was_never_welcome_says_why_and_ends() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    bench.refuse(401).await;
    let error = agent.end().await.unwrap_err();
    assert!(matches!(error, AgentError::Link(LinkError::Unauthorized { .. })), "{error}");

    let agent = bench.start_agent();
    let mut session = bench.greet().await;
    let message = "a defect".to_owned();
    session.send(Down::Refused { reason: RefusedLink::Invalid, message }).await;
    let error = agent.end().await.unwrap_err();
    assert!(error.to_string().ends_with("refuses this agent: a defect"), "{error}");
}

#[tokio::test]
async fn a_worker_that_seems_connected_already_tries_again() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.greet().await;
    let message = "another one".to_owned();
    session.send(Down::Refused { reason: RefusedLink::AlreadyConnected, message }).await;
    bench.welcome().await;
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn when_the_supervisor_dies_its_commands_are_lost_and_others_run_on() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &shell("echo up; sleep 1000")).await;
    session.until("its output", |session| session.stdout(1) == "up\n").await;
    bench.kill_supervisor();
    let failure = session.until_ended(1).await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Lost);
    session.start(2, &json!({ "command": "true" })).await;
    assert_eq!(session.until_ended(2).await.exit_code, Some(0));
    agent.stop(Stop::Detach).await.unwrap();
}
