//! From a command to its result: launch, output, exit codes.

use serde_json::json;

use crate::harness::{AgentOptions, Ran, Server, World};

fn server_with_agent() -> Server {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    server
}

#[test]
fn a_command_runs_and_its_output_comes_back() {
    let server = server_with_agent();
    let id = server.launch(&["--name", "greeting", "--", "echo", "hello world"]);
    let task = server.wait_for(&id, &["succeeded"]);
    assert_eq!(task["name"], "greeting");
    assert_eq!(task["exit_code"], 0);
    assert_eq!(task["worker_name"], "worker");
    assert_eq!(server.stdout(&id), b"hello world\n");
}

#[test]
fn a_server_with_an_agent_needs_nothing_else() {
    let server = Server::start_with(&["--with-agent=1"]);
    let ran = server.scitq(&["launch", "--follow", "--", "echo", "all in one"]).ok();
    assert_eq!(ran.text(), "all in one");
}

#[test]
fn arguments_travel_as_they_were_typed() {
    let server = server_with_agent();
    let odd = ["a b", "", "it's", "\"quoted\"", "$HOME", "*", "back\\slash", "new\nline", "é"];
    let arguments = [&["launch", "--follow", "--", "printf", "<%s>"], &odd[..]].concat();
    let ran = server.scitq(&arguments).ok();
    assert_eq!(ran.text(), odd.map(|word| format!("<{word}>")).concat());
}

#[test]
fn a_shell_is_used_when_asked_for() {
    let server = server_with_agent();
    let command = "for i in 1 2 3; do echo $i; done | wc -l";
    let ran = server.scitq(&["launch", "--follow", "--shell", "--", command]).ok();
    assert_eq!(ran.text().trim(), "3");
    let command = "set -o pipefail; false | true";
    let ran = server.scitq(&["launch", "--wait", "--shell=bash", "--", command]);
    assert_eq!(ran.code(), 1);
}

#[test]
fn following_brings_every_byte_of_both_streams() {
    let server = server_with_agent();
    let command = r"printf 'out\0\377\n'; printf 'err\n' >&2; seq 1 20000";
    let ran = server.scitq(&["launch", "--follow", "--shell", "--", command]).ok();
    let mut expected = b"out\0\xff\n".to_vec();
    for number in 1..=20_000 {
        expected.extend_from_slice(format!("{number}\n").as_bytes());
    }
    assert!(ran.stdout == expected, "{} bytes instead of {}", ran.stdout.len(), expected.len());
    assert!(ran.stderr.contains("err\n"), "{ran}");
}

#[test]
fn waiting_ends_with_the_code_of_the_task() {
    let server = server_with_agent();
    let wait = |command| {
        server.scitq(&["launch", "--wait", "--run-timeout", "600", "--shell", "--", command])
    };
    assert_eq!(wait("exit 0").code(), 0);
    assert_eq!(wait("exit 7").code(), 7);
    assert_eq!(wait("kill -SEGV $$").code(), 128 + 11);
}

#[test]
fn a_command_that_does_not_exist_fails_with_its_name() {
    let server = server_with_agent();
    let id = server.launch(&["--", "no-such-program-at-all"]);
    let task = server.wait_for(&id, &["failed"]);
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("no-such-program-at-all"), "{task}");
}

#[test]
fn launching_prints_the_id_alone_or_the_task_as_json() {
    let server = Server::start();
    let ran = server.scitq(&["launch", "--", "true"]).ok();
    assert_eq!((ran.stdout.as_slice(), ran.stderr.as_str()), (&b"1\n"[..], ""));
    let task = server.scitq(&["launch", "--json", "--", "true"]).ok().json();
    assert_eq!(task["id"], 2);
}

#[test]
fn a_test_launch_queues_nothing() {
    let server = Server::start();
    server.scitq(&["launch", "--test", "--", "true"]).ok();
    assert_eq!(server.scitq(&["manage", "task", "list", "--json"]).ok().json(), json!([]));
}

#[test]
fn a_server_that_is_not_there_is_named_at_once() {
    let world = World::new();
    let mut command = world.command(crate::harness::SCITQ);
    command.args(["launch", "--server", "http://127.0.0.1:1", "--", "true"]);
    Ran::of(command).refused(69, "127.0.0.1:1");
}

#[test]
fn wrong_usage_is_told_and_not_run() {
    let server = Server::start();
    server.scitq(&["launch", "--no-such-option", "--", "true"]).refused(2, "--no-such-option");
    server.scitq(&["launch"]).refused(2, "COMMAND");
    server.scitq(&["manage", "task", "show", "404"]).refused(1, "404");
    server.scitq(&["launch", "--after", "404", "--", "true"]).refused(1, "404");
    assert_eq!(server.scitq(&["manage", "task", "list", "--json"]).ok().json(), json!([]));
}
