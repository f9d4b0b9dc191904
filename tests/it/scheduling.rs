//! Who runs what, when, and how often.

use std::fs;

use serde_json::Value;

use crate::harness::{AgentOptions, Server, until};

fn server_with_agent(concurrency: u32) -> Server {
    let mut server = Server::start();
    server.agent(AgentOptions { concurrency, ..AgentOptions::default() });
    server
}

/// A command that runs until the test makes the file `go`.
fn held(server: &Server) -> String {
    let folder = server.path().display();
    format!("until [ -e {folder}/go ]; do sleep 0.02; done")
}

fn let_go(server: &Server) {
    fs::write(server.path().join("go"), "").unwrap();
}

fn count(list: &Value, state: &str) -> usize {
    list.as_array().unwrap().iter().filter(|task| task["state"] == state).count()
}

#[test]
fn a_task_waits_for_those_that_it_requires() {
    let server = server_with_agent(2);
    let log = server.path().join("log");
    let say = |word: &str| format!("echo {word} >>{}", log.display());
    let hold = format!("{}; {}", held(&server), say("first"));
    let first = server.launch(&["--shell", "--", &hold]);
    let second = server.launch(&["--shell", "--", &say("second")]);
    let both = format!("{first} {second}");
    let last = server.launch(&["--shell", "--after", &both, "--", &say("last")]);
    server.wait_for(&second, &["succeeded"]);
    let task = server.task(&last);
    assert_eq!(task["state"], "waiting");
    assert!(task["why"].as_str().unwrap().contains(&first), "{task}");
    let_go(&server);
    server.wait_for(&last, &["succeeded"]);
    assert_eq!(fs::read_to_string(log).unwrap(), "second\nfirst\nlast\n");
}

#[test]
fn a_failed_requirement_blocks_and_says_so_until_it_is_relaunched() {
    let server = server_with_agent(1);
    let command = format!("[ -e {}/go ]", server.path().display());
    let first = server.launch(&["--shell", "--", &command]);
    let last = server.launch(&["--after", &first, "--", "true"]);
    server.wait_for(&first, &["failed"]);
    let task = server.task(&last);
    assert_eq!(task["state"], "waiting");
    assert!(task["why"].as_str().unwrap().contains("failed"), "{task}");
    let_go(&server);
    server.scitq(&["manage", "task", "relaunch", &first]).ok();
    server.wait_for(&last, &["succeeded"]);
}

#[test]
fn no_more_commands_run_at_once_than_the_worker_has_slots() {
    let server = server_with_agent(2);
    let command = held(&server);
    let ids: Vec<String> = (0..5).map(|_| server.launch(&["--shell", "--", &command])).collect();
    let list = || server.scitq(&["manage", "task", "list", "--json"]).ok().json();
    until("two to run", || (count(&list(), "running") == 2).then_some(()));
    assert_eq!(count(&list(), "running"), 2);
    let waiting = ids.iter().find_map(|id| {
        let task = server.task(id);
        (task["state"] == "pending").then_some(task)
    });
    assert!(waiting.unwrap()["why"].is_string(), "a task that does not run says why");
    let_go(&server);
    for id in &ids {
        server.wait_for(id, &["succeeded"]);
    }
}

#[test]
fn work_is_spread_over_the_workers() {
    let mut server = Server::start();
    for name in ["left", "right"] {
        server.agent(AgentOptions {
            name: name.to_owned(),
            concurrency: 4,
            ..AgentOptions::default()
        });
    }
    let command = held(&server);
    let ids: Vec<String> = (0..4).map(|_| server.launch(&["--shell", "--", &command])).collect();
    let mut workers: Vec<String> = ids
        .iter()
        .map(|id| server.wait_for(id, &["running"])["worker_name"].as_str().unwrap().to_owned())
        .collect();
    workers.sort();
    assert_eq!(workers, ["left", "left", "right", "right"]);
    let_go(&server);
}

#[test]
fn tasks_and_workers_meet_in_their_batch() {
    let mut server = server_with_agent(1);
    let id = server.launch(&["--batch", "night", "--", "true"]);
    let here = server.launch(&["--", "true"]);
    server.wait_for(&here, &["succeeded"]);
    let task = server.task(&id);
    assert_eq!(task["state"], "pending");
    assert!(task["why"].as_str().unwrap().contains("night"), "{task}");
    let batch = Some("night".to_owned());
    server.agent(AgentOptions { name: "owl".to_owned(), batch, ..AgentOptions::default() });
    assert_eq!(server.wait_for(&id, &["succeeded"])["worker_name"], "owl");
}

#[test]
fn a_failure_is_tried_again_as_often_as_allowed() {
    let server = server_with_agent(1);
    let tries = server.path().join("tries");
    let command = format!("echo x >>{0}; [ $(wc -l <{0}) -ge 3 ]", tries.display());
    let id = server.launch(&["--shell", "--retry", "5", "--", &command]);
    let task = server.wait_for(&id, &["succeeded", "failed"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &3.into()));
    let id = server.launch(&["--shell", "--retry", "1", "--", "exit 9"]);
    let task = server.wait_for(&id, &["succeeded", "failed"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"failed".into(), &2.into()));
    assert_eq!((&task["failure"], &task["exit_code"]), (&"exit".into(), &9.into()));
    assert_eq!(task["executions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_command_that_runs_too_long_is_ended_with_all_its_children() {
    let server = server_with_agent(1);
    let command = "sleep 86399 & sleep 86399";
    let launch = ["launch", "--wait", "--shell", "--run-timeout", "1", "--", command];
    assert_eq!(server.scitq(&launch).code(), 124);
    assert_eq!(server.task("1")["failure"], "timeout");
    until("the children to be gone", || {
        server.world().command_lines().iter().all(|line| !line.contains("86399")).then_some(())
    });
}

#[test]
fn what_a_person_cancels_is_not_tried_again() {
    let server = server_with_agent(1);
    let running = server.launch(&["--shell", "--retry", "3", "--", &held(&server)]);
    let pending = server.launch(&["--", "true"]);
    server.wait_for(&running, &["running"]);
    for id in [&pending, &running] {
        server.scitq(&["manage", "task", "cancel", id, "--yes"]).ok();
        let task = server.wait_for(id, &["failed"]);
        assert_eq!(task["failure"], "cancelled", "{task}");
    }
    assert_eq!(server.task(&running)["attempts"], 1);
}

#[test]
fn a_worker_is_paused_and_goes_on_as_told() {
    let server = server_with_agent(1);
    let worker = server.scitq(&["manage", "worker", "list", "--json"]).ok().json()[0].clone();
    let number = worker["id"].to_string();
    server.scitq(&["manage", "worker", "update", "-i", &number, "-S", "paused"]).ok();
    let id = server.launch(&["--", "true"]);
    assert_eq!(server.task(&id)["state"], "pending");
    assert!(server.task(&id)["why"].as_str().unwrap().contains("paused"));
    server.scitq(&["manage", "worker", "update", "-i", &number, "-S", "running"]).ok();
    server.wait_for(&id, &["succeeded"]);
}
