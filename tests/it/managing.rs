//! `scitq manage`: what it shows, and what it changes.

use serde_json::json;

use crate::harness::{AgentOptions, Server};

#[test]
fn lists_are_filtered_and_counted() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    for (name, batch, command) in
        [("a", "one", "true"), ("b", "Default", "true"), ("c", "Default", "false")]
    {
        server.launch(&["--name", name, "--batch", batch, "--", command]);
    }
    server.wait_for("2", &["succeeded"]);
    server.wait_for("3", &["failed"]);
    let names = |filter: &[&str]| {
        let list = [&["manage", "task", "list", "--json"], filter].concat();
        let list = server.scitq(&list).ok().json();
        let names = list.as_array().unwrap().iter().map(|task| task["name"].clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["a", "b", "c"]);
    assert_eq!(names(&["--batch", "Default"]), ["b", "c"]);
    assert_eq!(names(&["--state", "failed,pending"]), ["a", "c"]);
    assert_eq!(names(&["--newest-first", "--limit", "1"]), ["c"]);
    let batches = server.scitq(&["manage", "batch", "list", "--json"]).ok().json();
    let default = batches.as_array().unwrap().iter().find(|batch| batch["name"] == "Default");
    let tasks = &default.unwrap()["tasks"];
    assert_eq!((&tasks["succeeded"], &tasks["failed"]), (&json!(1), &json!(1)));
    let status = server.scitq(&["manage", "server", "status", "--json"]).ok().json();
    assert_eq!(status["tasks"]["pending"], 1);
}

#[test]
fn every_attempt_keeps_its_output() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let command = "echo attempt $SCITQ_ATTEMPT; exit 1";
    let id = server.launch(&["--shell", "--retry", "1", "--", command]);
    server.wait_for(&id, &["failed"]);
    let list = server.scitq(&["manage", "execution", "list", "--json"]).ok().json();
    let mut outputs = Vec::new();
    for execution in list.as_array().unwrap() {
        let number = execution["id"].to_string();
        outputs
            .push(server.scitq(&["manage", "execution", "output", &number]).ok().text().to_owned());
    }
    outputs.sort();
    assert_eq!(outputs, ["attempt 1", "attempt 2"]);
    server.scitq(&["manage", "task", "relaunch", &id]).ok();
    let task = server.wait_for(&id, &["failed"]);
    assert!(task["attempts"].as_u64().unwrap() > 2, "{task}");
}

#[test]
fn a_task_that_others_wait_for_is_not_deleted_by_accident() {
    let server = Server::start();
    let first = server.launch(&["--", "true"]);
    let last = server.launch(&["--after", &first, "--", "true"]);
    let delete =
        |options: &[&str]| server.scitq(&[&["manage", "task", "delete", &first], options].concat());
    // Without a terminal and without --yes nothing is destroyed.
    assert!(!delete(&[]).status.success());
    delete(&["--yes"]).refused(1, &last);
    delete(&["--yes", "--cascade"]).ok();
    assert_eq!(server.scitq(&["manage", "task", "list", "--json"]).ok().json(), json!([]));
    assert_ne!(server.launch(&["--", "true"]), first, "ids are never used again");
}

#[test]
fn a_worker_takes_the_settings_that_it_is_given_and_keeps_them() {
    let mut server = Server::start();
    let agent = server.agent(AgentOptions { concurrency: 1, ..AgentOptions::default() });
    let update = ["manage", "worker", "update", "1", "--concurrency", "3", "--prefetch", "1"];
    server.scitq(&update).ok();
    server.kill9_agent(agent);
    // The agent's own option says 1: the server's word counts.
    server.start_agent(agent);
    let worker = server.scitq(&["manage", "worker", "list", "--json"]).ok().json()[0].clone();
    assert_eq!((&worker["concurrency"], &worker["prefetch"]), (&json!(3), &json!(1)));
    assert_eq!(worker["id"], 1, "it is the same worker");
}
