//! Each verb of `scitq-launch` and `scitq-manage`.

use super::Old;
use crate::harness::AgentOptions;

/// The columns of a list, by their titles, with the first row that has `part`.
#[track_caller]
fn row_with<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part} in:\n{text}"))
}

#[test]
fn tasks_are_launched_listed_changed_run_anew_and_deleted() {
    let Some(mut old) = Old::start() else { return };
    old.server.agent(AgentOptions { batch: Some("lines".to_owned()), ..AgentOptions::default() });
    let said = old.launch(&["-b", "lines", "-n", "said", "--retry", "1", "echo", "two words"]);
    old.server.wait_for(&said, &["succeeded"]);
    let list = old.manage(&["task", "list", "-b", "lines"]).ok();
    assert!(row_with(list.text(), "said").contains("succeeded"), "{list}");
    let long = old.manage(&["task", "list", "-S", "succeeded", "-L"]).ok();
    assert!(row_with(long.text(), "said").contains("echo 'two words'"), "{long}");
    let out = old.manage(&["task", "output", "-n", "said", "-o"]).ok();
    assert_eq!(out.text(), "two words");
    let executions = old.manage(&["execution", "list", "-i", &said, "-L"]).ok();
    assert!(row_with(executions.text(), "two words").contains("succeeded"), "{executions}");
    let output = old.manage(&["execution", "output", "-i", &said, "-o"]).ok();
    assert!(output.text().contains("two words"), "{output}");

    let later =
        old.launch(&["-b", "nobody", "-n", "later", "-R", &said, "--run-timeout", "60", "true"]);
    let other = old.launch(&["-b", "nobody", "-i", "file:///etc/hosts", "--use-cache", "cat"]);
    let update =
        ["-c", "echo changed", "-N", "renamed", "-o", "file:///tmp/out", "-b", "lines too"];
    old.manage(&[&["task", "update", "-i", &later][..], &update].concat()).ok();
    let task = old.server.task(&later);
    assert_eq!((&task["name"], &task["batch"]), (&"renamed".into(), &"lines too".into()));
    assert_eq!(task["spec"]["command"], "echo changed");
    old.manage(&["task", "update", "-i", &later, "-b", "lines", "-R", &said]).ok();
    old.server.wait_for(&later, &["succeeded", "failed"]);
    old.manage(&["task", "relaunch", "-n", "said"]).ok();
    old.server.wait_for(&said, &["succeeded"]);
    assert_eq!(old.server.task(&said)["attempts"], 2);
    old.manage(&["task", "delete", "-i", &other]).ok();
    let list = old.manage(&["task", "list", "-H"]).ok();
    assert!(!list.text().contains("cat"), "{list}");
    assert!(!old.manage(&["task", "delete", "-n", "never there"]).status.success());
}

#[test]
fn batches_are_listed_stopped_let_go_and_deleted() {
    let Some(mut old) = Old::start() else { return };
    old.server.agent(AgentOptions { batch: Some("b".to_owned()), ..AgentOptions::default() });
    let runs = old.launch(&["-b", "b", "sleep", "1000"]);
    old.server.wait_for(&runs, &["running"]);
    old.manage(&["batch", "stop", "-n", "b", "--pause"]).ok();
    old.server.wait_for(&runs, &["paused"]);
    let waits = old.launch(&["-b", "b", "true"]);
    let list = old.manage(&["batch", "list"]).ok();
    assert!(row_with(list.text(), "b ").contains("worker"), "{list}");
    assert_eq!(old.server.task(&waits)["state"], "pending");
    old.manage(&["batch", "go", "-n", "b", "--cont"]).ok();
    old.server.wait_for(&runs, &["running"]);
    old.server.wait_for(&waits, &["succeeded"]);
    // TERM, for which the old program sends 3.
    old.manage(&["batch", "stop", "-n", "b", "--term"]).ok();
    assert_eq!(old.server.wait_for(&runs, &["failed"])["failure"], "cancelled");
    old.manage(&["batch", "go", "-n", "b"]).ok();
    let killed = old.launch(&["-b", "b", "sleep", "1000"]);
    old.server.wait_for(&killed, &["running"]);
    old.manage(&["batch", "stop", "-n", "b", "--kill"]).ok();
    assert_eq!(old.server.wait_for(&killed, &["failed"])["failure"], "cancelled");
    old.manage(&["batch", "delete", "-n", "b"]).ok();
    let list = old.manage(&["task", "list", "-b", "b", "-H"]).ok();
    assert_eq!(list.text(), "");
}

#[test]
fn workers_recruiters_flavors_and_settings_have_their_verbs() {
    let Some(mut old) = Old::start() else { return };
    old.server.agent(AgentOptions { name: "ours".to_owned(), ..AgentOptions::default() });
    let list = old.manage(&["worker", "list"]).ok();
    assert!(row_with(list.text(), "ours").contains("running"), "{list}");
    old.manage(&[
        "worker", "update", "-n", "ours", "-C", "3", "-p", "2", "-S", "paused", "-b", "x",
    ])
    .ok();
    let list = old.manage(&["worker", "list", "-L", "-H"]).ok();
    let row = row_with(list.text(), "ours");
    assert!(row.contains("paused") && row.contains(" x "), "{list}");
    old.manage(&["worker", "update", "-n", "ours", "-S", "running"]).ok();
    old.manage(&["worker", "delete", "-n", "ours"]).ok();

    assert_eq!(old.manage(&["recruiter", "list", "-H"]).ok().text(), "");
    assert_eq!(old.manage(&["flavor", "list"]).ok().text().lines().count(), 1);
    let create = ["recruiter", "create", "-b", "b", "-f", "small", "-C", "1", "-T", "1"];
    old.manage(&create).ok();
    let update = ["recruiter", "update", "-b", "b", "-T", "2"];
    old.manage(&update).ok();
    let list = old.manage(&["recruiter", "list", "-L", "-H"]).ok();
    assert!(row_with(list.text(), "small").starts_with("b"), "{list}");
    old.manage(&["recruiter", "delete", "-b", "b"]).ok();
    let deploy = ["worker", "deploy", "-f", "small", "-r", "here", "-P", "any", "-b", "b"];
    assert!(old.manage(&deploy).stderr.contains("provider `any` is not set up"));
    assert!(old.manage(&["recruiter", "delete", "-b", "b"]).stderr.contains("doesn't exist"));
    assert!(old.manage(&update).stderr.contains("doesn't exist"));
    assert!(old.manage(&["config", "rclone", "--show"]).stderr.contains("does not share"));
}
