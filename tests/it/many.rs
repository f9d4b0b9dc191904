//! Many tasks from one command line: `--each`, `--array`, and stages in a pipe.

use std::fs::{self, File};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{AgentOptions, Ran, SCITQ, Server};
use crate::terminal::{PROMPT, Typist, has_shell};

fn server_with_agent() -> Server {
    let mut server = Server::start();
    server.agent(AgentOptions { concurrency: 4, ..AgentOptions::default() });
    server
}

/// Runs a command of the CLI with this text as its standard input.
fn fed(server: &Server, arguments: &[&str], stdin: &str) -> Ran {
    let path = server.path().join("stdin");
    fs::write(&path, stdin).unwrap();
    let mut command = server.command(arguments);
    command.stdin(File::open(path).unwrap());
    Ran::of(command)
}

/// A line of a shell, in which `scitq` is the program under test.
fn shell(server: &Server, line: &str) -> Command {
    let mut command = server.program("bash");
    let function = format!("set -e -o pipefail; scitq() {{ {SCITQ} \"$@\"; }}; {line}");
    command.args(["-c", &function]);
    command
}

fn tasks(server: &Server) -> Value {
    server.scitq(&["manage", "task", "list", "--json"]).ok().json()
}

#[test]
fn one_task_for_each_line_with_ids_in_the_order_of_the_lines() {
    let server = Server::start();
    let options = ["launch", "--each", "-n", "{/.}", "--tag", "n={#}", "--", "wc", "-l", "{}"];
    let ran = fed(&server, &options, "/in/a b.fq\n\n/in/c.fq.gz\n").ok();
    assert_eq!((ran.text(), ran.stderr.as_str()), ("1\n2", ""));
    let names: Vec<String> = ["1", "2"].map(|id| server.task(id)["name"].to_string()).to_vec();
    assert_eq!(names, ["\"a b\"", "\"c.fq\""]);
    assert_eq!(server.task("1")["spec"]["command"], json!(["wc", "-l", "/in/a b.fq"]));
    assert_eq!(server.task("2")["spec"]["tags"], json!({"n": "2"}));
}

#[test]
fn a_table_names_its_columns() {
    let server = Server::start();
    let options = ["launch", "--each", "--header", "--env", "S={sample}", "--", "a", "{file}"];
    fed(&server, &options, "sample,file\r\ns1,\"x,y.fq\"\r\n").ok();
    let spec = &server.task("1")["spec"];
    assert_eq!((&spec["env"], &spec["command"]), (&json!({"S": "s1"}), &json!(["a", "x,y.fq"])));
}

#[test]
fn a_line_that_cannot_be_one_queues_nothing() {
    let server = Server::start();
    let each = ["launch", "--each", "--", "echo", "{}"];
    fed(&server, &each, "a\nb\0c\n").refused(2, "line 2 of standard input has a NUL byte");
    let table = ["launch", "--each", "--delimiter", "tab", "--", "echo", "{2}"];
    fed(&server, &table, "a\tb\nc\n").refused(2, "line 2: there is no column 2");
    let input = ["launch", "--each", "-i", "{}", "--", "true"];
    fed(&server, &input, "file:///a\n/b\n").refused(2, "line 2: --input: `/b` is no URI");
    assert_eq!(tasks(&server), json!([]));
}

#[test]
fn no_line_is_no_task_and_no_error() {
    let server = Server::start();
    let ran = fed(&server, &["launch", "--each", "--wait", "--", "echo", "{}"], "\n").ok();
    assert_eq!((ran.text(), tasks(&server)), ("", json!([])));
    assert!(ran.stderr.contains("no task was queued"), "{ran}");
}

#[test]
fn an_array_numbers_its_tasks() {
    let server = server_with_agent();
    let print = "echo $SCITQ_ARRAY_INDEX";
    let launch = ["launch", "--array", "0-40:10", "--follow", "--shell", "--", print];
    let ran = server.scitq(&launch).ok();
    assert_eq!(ran.text(), "0\n10\n20\n30\n40");
    let ids = server.scitq(&["launch", "--array", "1-3", "--json", "--", "true"]).ok().json();
    assert_eq!(ids, json!({"ids": [6, 7, 8]}));
}

#[test]
fn waiting_for_many_ends_with_whether_all_succeeded() {
    let server = server_with_agent();
    let launch = ["launch", "--each", "--wait", "--shell", "--", "exit {}"];
    let ran = fed(&server, &launch, "0\n0\n");
    assert_eq!((ran.code(), ran.text()), (0, "1\n2"));
    let ran = fed(&server, &launch, "0\n3\n0\n");
    assert_eq!((ran.code(), ran.text()), (1, "3\n4\n5"));
    assert!(ran.stderr.contains("1 of 3 tasks failed"), "{ran}");
    let ran = fed(&server, &[&["launch", "--json"], &launch[1..]].concat(), "0\n4\n");
    assert_eq!(ran.code(), 1);
    assert_eq!(ran.json(), json!({"done": true, "states": {"succeeded": 1, "failed": 1}}));
}

#[test]
fn following_many_shows_one_after_the_other() {
    let server = server_with_agent();
    // The first line's task is the last to end.
    let command = "for i in 1 2 3; do echo {}$i; done; test {} != a || seq 50000 | tail -1";
    let launch = ["launch", "--each", "--follow", "--shell", "--", command];
    let ran = fed(&server, &launch, "a\nb\n").ok();
    assert_eq!(ran.text(), "a1\na2\na3\n50000\nb1\nb2\nb3");
}

#[test]
fn stages_chain_in_a_pipe() {
    let server = server_with_agent();
    let line = "printf 'x\\ny\\n' | scitq launch --each -- echo {} \
        | scitq launch --wait --after - -- echo done";
    let ran = Ran::of(shell(&server, line)).ok();
    assert_eq!(ran.text(), "3");
    assert_eq!(server.task("3")["spec"]["after"], json!([1, 2]));
    let line = "scitq launch --each -- echo {} </dev/null | scitq launch --after - -- echo done";
    Ran::of(shell(&server, line)).refused(2, "--after -: standard input has no id");
}

#[test]
fn tasks_can_wait_for_the_end_of_others_and_for_batches() {
    let server = Server::start();
    server.launch(&["-b", "first", "--", "true"]);
    server.launch(&["--after-any", "1", "--after-batch", "first", "--", "true"]);
    let spec = server.task("2")["spec"].clone();
    assert_eq!((&spec["after_any"], &spec["after_batch"]), (&json!([1]), &json!(["first"])));
    assert_eq!(server.task("2")["state"], "waiting");
}

#[test]
fn a_hundred_thousand_lines_are_one_launch() {
    let server = Server::start();
    let lines: String = (1..=100_000).map(|line| format!("sample {line}\n")).collect();
    let ran = fed(&server, &["launch", "--each", "-b", "big", "--", "echo", "{}"], &lines).ok();
    let ids: Vec<u64> = ran.text().lines().map(|id| id.parse().unwrap()).collect();
    assert!(ids.iter().copied().eq(1..=100_000), "{} ids", ids.len());
    assert_eq!(server.task("77777")["spec"]["command"], json!(["echo", "sample 77777"]));
}

#[test]
fn ctrl_c_asks_whether_to_leave_the_tasks_or_to_cancel_them() {
    if !has_shell("bash") {
        return;
    }
    let server = server_with_agent();
    let mut typist = Typist::start(&server, "bash --norc --noprofile -i");
    typist.type_keys("scitq launch --array 1-2 --wait -- sleep 600; echo code $?\n", "2 running");
    typist.type_keys("\u{3}", "go on waiting");
    typist.type_keys("\r", "2 tasks go on, 1 to 2");
    typist.wait_for("code 130");
    typist.wait_for(PROMPT);
    typist.type_keys("scitq launch --array 1-2 --wait -- sleep 600; echo code $?\n", "2 running");
    typist.type_keys("\u{3}", "go on waiting");
    // The second answer.
    typist.type_keys("\u{1b}[B\r", "2 tasks are being cancelled");
    typist.wait_for("2 of 2 tasks failed");
    typist.wait_for("code 1");
    assert_eq!(server.task("1")["state"], "running");
    assert_eq!(server.task("4")["failure"], "cancelled");
}

#[test]
fn a_progress_bar_is_for_terminals_only() {
    let server = server_with_agent();
    let ran = server.scitq(&["launch", "--array", "1-3", "--wait", "--", "true"]).ok();
    assert_eq!((ran.text(), ran.stderr.as_str()), ("1\n2\n3", ""));
}
