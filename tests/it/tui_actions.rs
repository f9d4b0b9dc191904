//! What the tutorial leaves out: the other actions of each screen, on a real
//! server with real agents.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::harness::{AgentOptions, Server, until};
use crate::screen::Terminal;

const SIZE: (u16, u16) = (130, 30);

const ENTER: &str = "\r";
const CLEAR: &str = "\x15";

fn open(server: &Server, arguments: &[&str]) -> Terminal {
    let mut command: Command = server.command(&[&["tui"], arguments].concat());
    command.env("TERM", "xterm-256color");
    Terminal::start(&command, SIZE)
}

fn agent(name: &str, batch: &str) -> AgentOptions {
    AgentOptions { name: name.to_owned(), batch: Some(batch.to_owned()), ..AgentOptions::default() }
}

fn worker(server: &Server, name: &str) -> Value {
    let list = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
    let found = list.as_array().unwrap().iter().find(|worker| worker["name"] == name);
    found.cloned().unwrap_or_default()
}

#[test]
fn a_worker_is_set_paused_cleaned_restarted_and_destroyed() {
    let mut server = Server::start();
    let agent = server.agent(agent("node1", "test"));
    let mut tui = open(&server, &["--screen", "workers"]);
    tui.wait_for("node1");
    tui.type_keys("+");
    tui.wait_for("concurrency 3");
    tui.type_keys("-");
    tui.wait_for("concurrency 2");
    tui.type_keys("C");
    tui.wait_for("Commands at once on node1");
    tui.type_keys(&format!("{CLEAR}7{ENTER}"));
    tui.wait_for("concurrency 7");
    tui.type_keys(">");
    tui.wait_for("prefetch 1");
    tui.type_keys("<");
    tui.wait_for("prefetch 0");
    tui.type_keys("F");
    tui.wait_for("Tasks fetched ahead on node1");
    tui.type_keys(&format!("{CLEAR}3{ENTER}"));
    tui.wait_for("prefetch 3");
    assert_eq!(worker(&server, "node1")["concurrency"], 7);
    tui.type_keys("p");
    tui.wait_for("‖ paused");
    tui.type_keys("u");
    tui.wait_for("● running");
    tui.type_keys("i");
    tui.wait_for("node1 in the last hour");
    tui.type_keys("\x1b");
    tui.type_keys("x");
    tui.wait_for("Delete the kept folders of ended tasks on node1?");
    tui.type_keys("y");
    tui.wait_for("told 1 worker to clean up");
    tui.type_keys("X");
    tui.wait_for("Delete the resources that no task uses on node1?");
    tui.type_keys("n");
    tui.wait_for("nothing was done");
    tui.type_keys("R");
    tui.wait_for("Restart the agent of node1?");
    tui.type_keys("y");
    tui.wait_for("told 1 worker to restart the agent");
    // An empty name is the default batch, and not an error.
    tui.type_keys("b");
    tui.wait_for("Batch of node1");
    tui.type_keys(&format!("{CLEAR}{ENTER}"));
    tui.wait_for("batch `Default`");
    server.kill9_agent(agent);
    tui.type_keys("D");
    tui.wait_for("Destroy node1?");
    tui.type_keys("y");
    tui.wait_for("destroyed 1 worker");
    tui.wait_for("no workers yet");
}

#[test]
fn workers_go_into_a_batch_and_out_of_it_and_its_failed_tasks_run_again() {
    let mut server = Server::start();
    server.agent(agent("node1", "one"));
    let marker = server.path().join("marker");
    let text = format!("test -e {}", marker.display());
    let ids: Vec<String> =
        (0..3).map(|_| server.launch(&["-b", "one", "--shell", &text])).collect();
    for id in &ids {
        server.wait_for(id, &["failed"]);
    }
    let mut tui = open(&server, &["--screen", "batches"]);
    tui.wait_for("✗3");
    fs::write(&marker, "").unwrap();
    // The default batch sorts before it.
    tui.type_keys("Gr");
    tui.wait_for("Run 3 failed tasks of `one` again?");
    tui.type_keys("y");
    tui.wait_for("✓3");
    tui.type_keys("W");
    tui.wait_for("Batch for all workers of one");
    tui.type_keys(&format!("two{ENTER}"));
    tui.wait_for("Give 1 worker of `one` to another batch?");
    tui.type_keys("y");
    until("the worker to be in the other batch", || {
        (worker(&server, "node1")["batch"] == "two").then_some(())
    });
    tui.wait_until("a batch with workers only", |screen| {
        screen.lines().any(|line| line.contains("two ") && line.contains("none"))
    });
    tui.type_keys("gw");
    tui.wait_for("Workers for one");
    // Completed from what is known.
    tui.type_keys("no");
    tui.wait_until("the worker as a completion", |screen| {
        screen.lines().any(|line| line.contains('│') && line.contains("node1"))
    });
    tui.type_keys(&format!("\t{ENTER}"));
    until("the worker to be back", || (worker(&server, "node1")["batch"] == "one").then_some(()));
}

#[test]
fn tasks_are_found_by_any_filter_marked_together_moved_signalled_cancelled_and_deleted() {
    let mut server = Server::start();
    for number in 1..=12 {
        server.launch(&["--name", &format!("lane-{number}"), "echo", &format!("Lane {number}")]);
    }
    server.launch(&["--name", "other", "sleep", "600"]);
    let mut tui = open(&server, &["--screen", "tasks"]);
    tui.wait_for("rows 1-13 of 13");
    // Text without regard to case, a pattern, and what is not wanted.
    tui.type_keys(&format!("/LANE !name:lane-1 /lane.[1-4]/{ENTER}"));
    tui.wait_for("rows 1-6 of 6");
    tui.wait_for("all 6");
    // All of them, also those that are not on screen.
    tui.type_keys("a");
    tui.wait_for("all marked");
    tui.type_keys("m");
    tui.wait_for("Move 6 tasks to batch");
    tui.type_keys(&format!("elsewhere{ENTER}"));
    tui.wait_for("moved 6 tasks to `elsewhere`");
    tui.wait_until("all in their batch", |screen| screen.matches("elsewhere").count() >= 6);
    tui.type_keys("c");
    tui.wait_for("Cancel 6 tasks?");
    tui.type_keys("y");
    tui.wait_for("cancelled 6 tasks");
    tui.wait_for("✗ failed 6");
    tui.type_keys("D");
    tui.wait_for("Delete 6 tasks with executions and output?");
    tui.type_keys("y");
    tui.wait_for("deleted 6 tasks");
    tui.wait_for("the filter lets no task through");
    tui.type_keys(&format!("/{CLEAR}other{ENTER}"));
    tui.wait_for("rows 1-1 of 1");
    server.agent(AgentOptions::default());
    tui.wait_until("the task to run", |screen| {
        screen.lines().any(|line| line.contains("● running") && line.contains("sleep 600"))
    });
    tui.type_keys("!");
    tui.wait_for("Send to task 13");
    tui.type_keys(&format!("G{ENTER}"));
    tui.wait_until("a question", |screen| screen.contains("Send SIG"));
    tui.type_keys("n");
    tui.wait_for("nothing was done");
    tui.type_keys("!");
    tui.wait_for("SIGINT");
    let screen = tui.screen();
    let place = |word: &str| screen.lines().position(|line| line.contains(word)).unwrap();
    let first = screen.lines().position(|line| line.contains("Send to task")).unwrap() + 1;
    tui.type_keys(&"j".repeat(place("SIGINT") - first));
    tui.type_keys(ENTER);
    tui.wait_for("Send SIGINT to task 13?");
    tui.type_keys("y");
    tui.wait_for("✗ failed");
}

#[test]
fn it_begins_where_it_was_left() {
    let server = Server::start();
    server.launch(&["--name", "zebra", "true"]);
    server.launch(&["--name", "aardvark", "true"]);
    let mut tui = open(&server, &["--screen", "tasks"]);
    tui.wait_for("rows 1-2 of 2");
    tui.type_keys(&format!("/state:pending{ENTER}"));
    tui.wait_for("filter state:pending");
    tui.type_keys(&format!(":sort name{ENTER}"));
    let is_sorted = |screen: &str| {
        let place = |name: &str| screen.find(name);
        matches!((place("aardvark"), place("zebra")), (Some(a), Some(z)) if a < z)
    };
    tui.wait_until("the order of names", is_sorted);
    tui.type_keys("q");
    assert!(tui.wait().success());
    let mut tui = open(&server, &[]);
    tui.wait_for("filter state:pending");
    tui.wait_until("the order of names again", is_sorted);
    tui.type_keys("q");
    assert!(tui.wait().success());
}
