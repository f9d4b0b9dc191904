//! What people do to commands that run: pause, stop, kill, signal, edit.

use std::fs;
use std::time::Instant;

use serde_json::json;

use crate::agent::{Departure, Stop};
use crate::api::link::{Down, ReportEvent, Verdict};
use crate::api::worker::Clean;
use crate::domain::execution::{FailureClass, Suspension};
use crate::domain::signal::Signal;
use crate::domain::worker::WantedState;

use super::bench::{Bench, Session, state, until};

fn shell(script: &str) -> serde_json::Value {
    json!({ "command": script, "shell": "sh" })
}

/// Starts a command that writes its process id and then does this.
async fn start(session: &mut Session, execution: u64, rest: &str) -> i32 {
    session.start(execution, &shell(&format!("echo $$; {rest}"))).await;
    pid(session, execution).await
}

async fn pid(session: &mut Session, execution: u64) -> i32 {
    session.until("its process", |session| session.stdout(execution).ends_with('\n')).await;
    session.stdout(execution).trim_end().parse().unwrap()
}

#[tokio::test]
async fn a_paused_command_stands_still_also_over_a_restart_of_the_agent() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let gate = bench.folder().join("gate");
    // Without a child: one that is stopped before its `exec` keeps its parent in the kernel.
    let script = format!("until [ -e {} ]; do :; done", gate.display());
    let pid = start(&mut session, 1, &script).await;
    session.suspend(1, Suspension::Run).await;
    until("it stands", || state(pid) == Some('T')).await;
    fs::write(&gate, "").unwrap();
    agent.kill().await;

    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.suspend(1, Suspension::Run).await;
    session.start(2, &json!({ "command": "true" })).await;
    session.until_ended(2).await;
    assert_eq!(state(pid), Some('T'));
    session.suspend(1, Suspension::No).await;
    assert_eq!(session.until_ended(1).await.exit_code, Some(0));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_paused_command_goes_on_when_the_server_no_longer_holds_it() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let pid = start(&mut session, 1, "exit 3").await;
    session.until_ended(1).await;
    assert!(pid > 0);
    let pid = start(&mut session, 2, "sleep 0.5; exit 4").await;
    session.suspend(2, Suspension::Run).await;
    until("it stands", || state(pid) == Some('T')).await;
    drop(session);
    let mut session = bench.welcome().await;
    assert_eq!(session.until_ended(2).await.exit_code, Some(4));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn one_that_ignores_the_polite_word_is_stopped_all_the_same() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let pid = start(&mut session, 1, "trap '' TSTP; while :; do :; done").await;
    session.suspend(1, Suspension::Run).await;
    until("it stands", || state(pid) == Some('T')).await;
    session.order(1, Verdict::Killed).await;
    let failure = session.until_ended(1).await.failure.unwrap();
    assert_eq!((failure.class, &*failure.reason), (FailureClass::Cancelled, "killed"));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn the_run_limit_stands_still_while_a_command_does() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let mut spec = shell("echo $$; while :; do :; done");
    spec["run_timeout"] = json!(2);
    session.start(1, &spec).await;
    let begun = Instant::now();
    let pid = pid(&mut session, 1).await;
    session.suspend(1, Suspension::Run).await;
    until("it stands", || state(pid) == Some('T')).await;
    let stood_from = Instant::now();
    // Another command that takes longer than the limit measures the time.
    session.start(2, &shell("sleep 2.5")).await;
    session.until_ended(2).await;
    assert_eq!(state(pid), Some('T'));
    session.suspend(1, Suspension::No).await;
    let stood = stood_from.elapsed();
    let failure = session.until_ended(1).await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Timeout);
    assert!(begun.elapsed() >= stood + std::time::Duration::from_millis(1_900));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_stop_of_a_paused_command_lets_it_end_in_its_own_way() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let script = "trap 'echo bye; exit 5' TERM; while :; do :; done";
    let pid = start(&mut session, 1, script).await;
    session.suspend(1, Suspension::Run).await;
    until("it stands", || state(pid) == Some('T')).await;
    session.order(1, Verdict::Cancelled).await;
    let outcome = session.until_ended(1).await;
    assert_eq!(outcome.exit_code, Some(5));
    assert_eq!(outcome.failure.unwrap().reason, "cancelled");
    assert!(session.stdout(1).ends_with("bye\n"));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_signal_arrives_by_its_name() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let script = "trap 'echo usr1; exit 0' USR1; echo $$; while :; do :; done";
    session.start(1, &shell(script)).await;
    pid(&mut session, 1).await;
    session.signal(1, Signal::Usr1).await;
    assert_eq!(session.until_ended(1).await.exit_code, Some(0));
    assert!(session.stdout(1).ends_with("usr1\n"));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn an_edited_task_runs_as_it_was_edited() {
    let bench = Bench::new().await;
    let (kept, old, new) = ("kept.txt", "old.txt", "new.txt");
    let uri = |name: &str| format!("file://{}", bench.folder().join(name).display());
    for name in [kept, old, new] {
        fs::write(bench.folder().join(name), name).unwrap();
    }
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.acknowledges = false;
    let mut spec = shell("exit 9");
    spec["input"] = json!([uri(kept), uri(old)]);
    spec["stdin"] = json!("first");
    session.start(1, &spec).await;
    let input = bench.task_folder(1).join("input");
    until("its data", || input.join(old).exists() && input.join(kept).exists()).await;
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(input.join(kept)).unwrap());
    let before = inode();

    let mut spec = shell("ls $INPUT; cat");
    spec["input"] = json!([uri(kept), uri(new)]);
    spec["stdin"] = json!("second");
    session.edit(1, 3, &spec).await;
    until("the new data", || input.join(new).exists() && !input.join(old).exists()).await;
    assert_eq!(inode(), before, "what is still wanted was not fetched again");
    agent.kill().await;

    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    assert_eq!(session.hello.held[0].revision, 3);
    assert_eq!(session.until_ended(1).await.exit_code, Some(0));
    assert_eq!(session.stdout(1), "kept.txt\nnew.txt\nsecond");
    assert!(session.reports.iter().all(|report| report.revision == 3));
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn an_edit_may_take_all_data_away() {
    let bench = Bench::new().await;
    fs::write(bench.folder().join("in"), "").unwrap();
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.acknowledges = false;
    let uri = format!("file://{}", bench.folder().join("in").display());
    session.start(1, &json!({ "command": "true", "input": [uri], "stdin": "x" })).await;
    let input = bench.task_folder(1).join("input");
    until("its data", || input.join("in").exists()).await;
    session.edit(1, 1, &shell("ls -A $INPUT; ls; cat")).await;
    until("the data is gone", || {
        !input.join("in").exists() && !bench.task_folder(1).join("stdin").exists()
    })
    .await;
    agent.stop(Stop::Detach).await.unwrap();
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.until_ended(1).await;
    assert_eq!(session.stdout(1), "input\nlog\noutput\nresource\ntmp\n");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn standard_input_is_what_the_task_has_for_it() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &json!({ "command": "cat", "stdin": { "bytes": [97, 0, 255, 10] } })).await;
    session.start(2, &json!({ "command": "cat" })).await;
    session.until_ended(1).await;
    assert_eq!(session.bytes(1, crate::domain::execution::Stream::Stdout), b"a\0\xff\n");
    session.until_ended(2).await;
    assert_eq!(session.stdout(2), "");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_demand_is_what_the_task_finds_in_its_variables() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let mut spec = shell("echo $CPU $THREADS $MEM");
    (spec["cpu"], spec["memory"]) = (json!(1), json!(3 << 20));
    session.start(1, &spec).await;
    session.until_ended(1).await;
    assert_eq!(session.stdout(1), "1 1 3\n");
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_drained_leaves_after_its_last_execution() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let gate = bench.folder().join("gate");
    let script = format!("until [ -e {} ]; do :; done", gate.display());
    start(&mut session, 1, &script).await;
    session.want(WantedState::Draining).await;
    session.start(2, &json!({ "command": "true" })).await;
    let failure = session.until_ended(2).await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Refused);
    fs::write(&gate, "").unwrap();
    session.until_ended(1).await;
    let (left, ()) = tokio::join!(agent.end(), session.until_closed());
    assert_eq!(left.unwrap(), Departure::Left);
}

#[tokio::test]
async fn folders_of_ended_tasks_go_on_demand_and_those_in_use_stay() {
    let bench = Bench::new().await;
    let resource = bench.folder().join("index");
    fs::write(&resource, "index").unwrap();
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    let mut spec = shell("exit 1");
    spec["resource"] = json!([format!("file://{}", resource.display())]);
    session.start(1, &spec).await;
    session.until_ended(1).await;
    start(&mut session, 2, "sleep 1000").await;
    let kept = || fs::read_dir(bench.workdir.join("resources")).unwrap().count();
    assert_eq!(kept(), 1);
    session.send(Down::Clean { what: Clean::Tasks }).await;
    until("the folder is gone", || !bench.task_folder(1).exists()).await;
    session.send(Down::Clean { what: Clean::Resources }).await;
    until("the resource is gone", || kept() == 0).await;
    assert!(bench.task_folder(2).exists());
    agent.stop(Stop::Detach).await.unwrap();
}

#[tokio::test]
async fn what_is_held_back_is_not_started() {
    let bench = Bench::new().await;
    let agent = bench.start_agent();
    let mut session = bench.welcome().await;
    session.start(1, &json!({ "command": "true" })).await;
    session.suspend(1, Suspension::Start).await;
    session.until("it is accepted", |session| session.has(1, &ReportEvent::Accepted)).await;
    session.start(2, &json!({ "command": "true" })).await;
    session.until_ended(2).await;
    assert!(!session.has(1, &ReportEvent::Started));
    session.suspend(1, Suspension::No).await;
    session.until_ended(1).await;
    agent.stop(Stop::Detach).await.unwrap();
}
