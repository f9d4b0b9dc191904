//! How workers become known, and known again.

use std::fs;

use crate::harness::{AgentOptions, Server, until};

#[test]
fn the_settings_of_the_server_win_over_flags_and_the_agent_says_so() {
    let mut server = Server::start();
    let agent = server.agent(AgentOptions::default());
    server.scitq(&["manage", "worker", "update", "worker", "--concurrency", "5"]).ok();
    server.stop_agent(agent);
    server.start_agent(agent);
    let worker = server.scitq(&["manage", "worker", "show", "worker", "--json"]).ok().json();
    assert_eq!(worker["concurrency"], 5);
    until("the agent to say so", || {
        let log = fs::read_to_string(server.path().join("logs/worker")).unwrap();
        log.contains("the server knows this worker: its settings count").then_some(())
    });
}

#[test]
fn a_worker_that_its_server_has_forgotten_registers_again_and_runs_on() {
    let mut server = Server::start();
    let agent = server.agent(AgentOptions { concurrency: 3, ..AgentOptions::default() });
    server.scitq(&["manage", "worker", "update", "worker", "--concurrency", "5"]).ok();
    server.stop_agent(agent);
    until("the worker to be deleted", || {
        // Refused once it is gone.
        drop(server.scitq(&["manage", "worker", "delete", "worker", "--yes"]));
        let left = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
        (left == serde_json::json!([])).then_some(())
    });
    server.start_agent(agent);
    let worker = server.scitq(&["manage", "worker", "show", "worker", "--json"]).ok().json();
    assert_eq!((&worker["state"], &worker["concurrency"]), (&"running".into(), &3.into()));
    let task = server.launch(&["--", "true"]);
    server.wait_for(&task, &["succeeded"]);
}
