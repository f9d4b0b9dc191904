//! The terminal UI over networks as people have them, and beside others who
//! change the same things.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::harness::{AgentOptions, Server, World, until};
use crate::network::{LongWay, LossyNetwork};
use crate::screen::Terminal;

const SIZE: (u16, u16) = (120, 30);

/// Half of a way there and back of 300 ms.
const FAR: Duration = Duration::from_millis(150);

fn tui(server: &Server, arguments: &[&str]) -> Command {
    let mut command = server.command(&[&["tui"], arguments].concat());
    command.env("TERM", "xterm-256color");
    command
}

fn agent() -> AgentOptions {
    AgentOptions { name: "node1".to_owned(), ..AgentOptions::default() }
}

#[test]
fn all_that_one_does_works_over_a_long_way() {
    let mut server = Server::start();
    server.agent(agent());
    for number in 1..=40 {
        server.launch(&["--name", &format!("sample-{number}"), "sleep", "600"]);
    }
    let way = LongWay::to(server.address(), FAR);
    let mut command = tui(&server, &["--screen", "tasks"]);
    command.env("SCITQ_SERVER", way.url());
    let mut tui = Terminal::start(&command, SIZE);
    tui.wait_for("● live");
    tui.wait_for("● running 2");
    tui.type_keys("G");
    tui.wait_for("rows 16-40 of 40");
    // Several keys on their way at once: none waits for the answer to another.
    tui.type_keys("gjjjjj");
    tui.type_keys("\r");
    tui.wait_for("task 35");
    tui.type_keys("\x1b");
    tui.wait_for("rows 1-");
    tui.type_keys("/name:sample-1\r");
    tui.wait_for("rows 1-1 of 1");
    tui.type_keys("K");
    tui.wait_for("Kill task 1?");
    tui.type_keys("y");
    tui.wait_for("✗ failed cancelled");
    tui.type_keys("1");
    tui.wait_for("node1");
    tui.type_keys("+++");
    tui.wait_for("concurrency 5");
    assert!(way.connections() > 0);
    tui.type_keys("q");
    assert!(tui.wait().success());
}

#[test]
fn a_line_that_hangs_holds_up_no_key_and_is_told() {
    let server = Server::start();
    server.launch(&["true"]);
    let way = LongWay::to(server.address(), Duration::ZERO);
    let mut command = tui(&server, &["--screen", "tasks"]);
    command.env("SCITQ_SERVER", way.url());
    let mut tui = Terminal::start(&command, SIZE);
    tui.wait_for("● live");
    tui.wait_for("rows 1-1 of 1");
    way.hold();
    tui.type_keys("?");
    tui.wait_for("Keys (type to narrow them down)");
    tui.type_keys("\x1b");
    tui.type_keys("4");
    tui.wait_for("reading …");
    tui.type_keys("2");
    tui.wait_for("rows 1-1 of 1");
    way.release();
    server.launch(&["true"]);
    tui.wait_for("rows 1-2 of 2");
    tui.type_keys("q");
    assert!(tui.wait().success());
}

#[test]
fn all_that_one_does_works_on_a_line_that_loses_packets() {
    let Some(network) = LossyNetwork::make() else { return };
    let mut server = Server::start_in(World::behind(network.entrance()), &[]);
    server.agent(agent());
    let mut tui = Terminal::start(&tui(&server, &["--screen", "tasks"]), SIZE);
    tui.wait_for("● live");
    for _ in 0..5 {
        server.launch(&["sh", "-c", "echo One; echo Two >&2"]);
    }
    tui.wait_until("five green tasks", |screen| screen.matches("✓ succeeded").count() > 5);
    let id = server.launch(&["sleep", "600"]);
    tui.wait_until("the task to run", |screen| {
        screen.lines().any(|line| line.contains("● running") && line.contains("sleep 600"))
    });
    tui.type_keys("gp");
    tui.wait_until("the task to be paused", |screen| {
        screen.lines().any(|line| line.contains("‖ paused") && line.contains("sleep 600"))
    });
    tui.type_keys("K");
    tui.wait_for(&format!("Kill task {id}?"));
    tui.type_keys("y");
    tui.wait_for("✗ failed cancelled");
    tui.type_keys("jo");
    tui.wait_for("complete");
    tui.wait_until("the output", |screen| screen.lines().any(|line| line.trim_end() == "One"));
    tui.type_keys("q");
    assert!(tui.wait().success());
}

/// With a pause of an hour between two looks, only the stream brings news.
#[test]
fn a_change_elsewhere_comes_by_the_stream_and_not_by_looking_again() {
    let mut server = Server::start();
    server.agent(agent());
    let file = server.path().join("tui.toml");
    fs::write(&file, "period = 3600\n").unwrap();
    let named = file.to_str().unwrap();
    let tasks = Terminal::start(&tui(&server, &["--config", named, "--screen", "tasks"]), SIZE);
    let batches = Terminal::start(&tui(&server, &["--config", named, "--screen", "batches"]), SIZE);
    let workers = Terminal::start(&tui(&server, &["--config", named]), SIZE);
    tasks.wait_for("no tasks yet");
    batches.wait_for("● live");
    workers.wait_for("node1");
    let id = server.launch(&["-b", "elsewhere", "sleep", "600"]);
    tasks.wait_for("sleep 600");
    batches.wait_for("elsewhere");
    server.scitq(&["manage", "worker", "update", "node1", "--batch", "elsewhere"]).ok();
    workers.wait_for("elsewhere");
    tasks.wait_until("the task to run", |screen| {
        screen.lines().any(|line| line.contains("● running") && line.contains("sleep 600"))
    });
    server.scitq(&["manage", "batch", "pause", "elsewhere"]).ok();
    batches.wait_for("‖ paused");
    server.scitq(&["manage", "task", "cancel", &id, "--yes"]).ok();
    tasks.wait_for("✗ failed cancelled");
}

#[test]
fn a_token_that_is_revoked_while_it_is_open_is_told_and_ends_nothing() {
    let server = Server::start();
    server.launch(&["-b", "alpha", "true"]);
    let create = ["manage", "token", "create", "--name", "guest", "--role", "user", "--json"];
    let made = server.scitq(&create).ok().json();
    let secret = made["token"].as_str().unwrap();
    let mut command = tui(&server, &["--screen", "tasks"]);
    command.env_remove("SCITQ_TOKEN_FILE").env("SCITQ_TOKEN", secret);
    command.env("XDG_RUNTIME_DIR", server.path().join("tmp"));
    let mut tui = Terminal::start(&command, SIZE);
    tui.wait_for("alpha");
    tui.wait_for("● live");
    let list = server.scitq(&["manage", "token", "list", "--json"]).ok().json();
    let row = list.as_array().unwrap().iter().find(|row| row["name"] == "guest").unwrap();
    server.scitq(&["manage", "token", "revoke", &row["id"].to_string(), "--yes"]).ok();
    tui.type_keys("r");
    let screen = tui.wait_until("a word on the token", |screen| screen.contains("token"));
    assert!(screen.contains("alpha"), "what was known stays:\n{screen}");
    // Nothing is changed with it, and it stays open.
    tui.wait_until("no line to the server", |screen| !screen.contains("● live"));
    tui.type_keys("@");
    tui.wait_for("What was told lately");
    tui.type_keys("\x1b");
    tui.type_keys("q");
    assert!(tui.wait().success());
    until("the terminal to be given back", || tui.is_restored().then_some(()));
}

/// Answers everything with this body.
fn strange_server(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let _ = connection.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(connection, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[test]
fn a_server_of_another_version_is_told_and_breaks_nothing() {
    let server = Server::start();
    for body in ["{\"version\":\"9.9.9\",\"tasks\":[]}", "<html>\u{1b}[2J</html>", ""] {
        let mut command = tui(&server, &["--screen", "tasks"]);
        command.env("SCITQ_SERVER", format!("http://{}", strange_server(body)));
        let mut tui = Terminal::start(&command, SIZE);
        tui.wait_until("a word on what is wrong", |screen| {
            screen.contains("reconnecting") && screen.contains("answer")
        });
        tui.type_keys("1");
        tui.wait_for("reading the workers");
        tui.type_keys("q");
        assert!(tui.wait().success());
    }
}
