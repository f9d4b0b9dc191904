//! What happens to the work of a worker that falls silent, and to the worker
//! that comes back after its work was given to another.

use std::fs;

use rustix::process::Signal;

use crate::harness::{AgentOptions, Server, until};

#[test]
fn a_worker_that_comes_back_too_late_cannot_spoil_the_result_of_another() {
    let mut server = Server::start_with(&["--offline-after", "10s", "--lost-after", "10s"]);
    let first = server.agent(named("first"));
    let results = server.path().join("results");
    let go = server.path().join("go");
    let command = format!(
        "echo $SCITQ_WORKER > $OUTPUT/who; until [ -e {} ]; do sleep 0.05; done; exit 0",
        go.display()
    );
    let uri = format!("file://{}/", results.display());
    let id = server.launch(&["--output", &uri, "--shell", "--", &command]);
    server.wait_for(&id, &["running"]);

    // The agent falls silent; its command runs on.
    server.signal_agent(first, Signal::STOP);
    server.agent(named("second"));
    let task = until("another worker to take the task over", || {
        let task = server.task(&id);
        (task["attempts"] == 2 && task["state"] == "running").then_some(task)
    });
    assert_eq!(task["worker_name"], "second");
    let lost = &task["executions"][1];
    assert_eq!(lost["outcome"]["failure"]["class"], "lost", "{lost}");

    // Back again, the first agent is told to let go, and does.
    server.signal_agent(first, Signal::CONT);
    until("the first worker to end its command", || {
        let lines = server.world().command_lines();
        let runs = lines.iter().filter(|line| line.contains(&go.display().to_string())).count();
        (runs == 1).then_some(())
    });
    fs::write(&go, "").unwrap();
    let task = server.wait_for(&id, &["succeeded", "failed"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &2.into()), "{task}");
    assert_eq!(fs::read_to_string(results.join("who")).unwrap(), "second\n");
}

fn named(name: &str) -> AgentOptions {
    AgentOptions { name: name.to_owned(), ..AgentOptions::default() }
}
