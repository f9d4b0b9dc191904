//! Orphans, and agents that are told to make place for another one.

use serde_json::json;

use crate::agent::{Departure, Stop};
use crate::api::link::{Down, ReportEvent, Verdict};
use crate::domain::{Epoch, ExecutionId};

use super::bench::{Bench, Session, welcome};

fn shell(script: &str) -> serde_json::Value {
    json!({ "command": script, "shell": "sh" })
}

/// A command that says `up`, and ends when the test makes the file.
fn waits_for(path: &std::path::Path) -> serde_json::Value {
    shell(&format!("echo up; until [ -e {} ]; do sleep 0.01; done; exit 6", path.display()))
}

/// The next link, of a server that was restored from a backup.
async fn restored(bench: &Bench, verdicts: &[(u64, Verdict)]) -> Session {
    let mut reply = welcome();
    reply.epoch = Epoch(2);
    reply.verdicts = verdicts.iter().map(|(id, verdict)| (ExecutionId(*id), *verdict)).collect();
    let mut session = bench.greet().await;
    session.send(Down::Welcome(Box::new(reply))).await;
    session
}

#[tokio::test]
async fn an_orphan_is_named_adopted_and_told_to_its_new_server() {
    let bench = Bench::new().await;
    let gate = bench.folder().join("gate");
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &waits_for(&gate)).await;
    session.until("it runs", |session| session.stdout(1) == "up\n").await;
    drop(session);

    let mut session = restored(&bench, &[]).await;
    session.until("a heartbeat", |session| session.heartbeats > 0).await;
    let orphans = session.last_heartbeat.as_ref().unwrap().orphans.clone();
    assert_eq!(orphans.len(), 1);
    assert!(orphans[0].own_store && !orphans[0].ended);
    agent.kill().await;
    drop(session);

    let agent = bench.start_agent();
    let mut session = restored(&bench, &[]).await;
    assert_eq!(session.hello.orphans, orphans, "also after a restart");
    assert!(session.hello.held.is_empty());
    session.send(Down::Adopt { executions: vec![ExecutionId(1)] }).await;
    session.until_closed().await;
    let mut session = restored(&bench, &[(1, Verdict::Keep)]).await;
    assert_eq!(session.hello.held[0].execution, ExecutionId(1));
    session.until("its start", |session| session.has(1, &ReportEvent::Started)).await;
    std::fs::write(&gate, "").unwrap();
    assert_eq!(session.until_ended(1).await.exit_code, Some(6));
    assert_eq!(session.stdout(1), "up\n");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_orphan_is_gone_with_its_files() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &shell("echo up; sleep 1000")).await;
    session.until("it runs", |session| session.stdout(1) == "up\n").await;
    drop(session);
    let mut session = restored(&bench, &[]).await;
    session.send(Down::Abandon { executions: vec![ExecutionId(1)] }).await;
    // It leaves when it has nothing left.
    agent.stop(Stop::Drain).await.unwrap();
    assert!(!bench.task_folder(1).join("log").exists());
}

#[tokio::test]
async fn an_agent_that_makes_place_leaves_its_commands_to_the_next_one() {
    let bench = Bench::new().await;
    let gate = bench.folder().join("gate");
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &waits_for(&gate)).await;
    session.until("it runs", |session| session.stdout(1) == "up\n").await;
    session.send(Down::Restart).await;
    let (left, ()) = tokio::join!(agent.end(), session.until_closed());
    assert_eq!(left.unwrap(), Departure::Restart);
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    std::fs::write(&gate, "").unwrap();
    assert_eq!(session.until_ended(1).await.exit_code, Some(6));
    agent.stop(Stop::Detach).await.unwrap();
}
