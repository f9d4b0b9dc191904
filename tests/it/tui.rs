//! The terminal UI in a real terminal, against a real server and agent.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{AgentOptions, Server, until};
use crate::screen::Terminal;

const SIZE: (u16, u16) = (120, 30);

const RIGHT: &str = "\x1b[C";
const DELETE: &str = "\x1b[3~";
const ENTER: &str = "\r";
const ESC: &str = "\x1b";
const SAVE: &str = "\x13";
const CLEAR: &str = "\x15";

fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = server.command(&[&["tui"], arguments].concat());
    command.env("TERM", "xterm-256color");
    command
}

fn open(server: &Server, arguments: &[&str]) -> Terminal {
    Terminal::start(&command(server, arguments), SIZE)
}

fn agent_in(batch: &str) -> AgentOptions {
    AgentOptions {
        name: "node1".to_owned(),
        concurrency: 2,
        batch: Some(batch.to_owned()),
        ..AgentOptions::default()
    }
}

/// A command that writes a word whenever its file appears.
struct Steps {
    folder: PathBuf,
}

impl Steps {
    fn new(server: &Server) -> Self {
        let folder = server.path().join("steps");
        fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn script(&self) -> String {
        let step = |word: &str| {
            let file = self.folder.join(word);
            format!("until [ -e {} ]; do sleep 0.02; done; echo {word}", file.display())
        };
        ["One", "Two", "Three"].map(step).join("; ")
    }

    fn allow(&self, word: &str) {
        fs::write(self.folder.join(word), "").unwrap();
    }
}

/// Takes the tour of the original's guide, key by key.
#[test]
fn the_tutorial_of_the_original_guide() {
    let mut server = Server::start();
    let mut tui = open(&server, &[]);
    tui.wait_for("no workers yet");
    server.agent(agent_in("mybatch"));
    tui.wait_for("node1");

    // A task in a batch without a worker is grey, and says why.
    let steps = Steps::new(&server);
    tui.type_keys("2");
    tui.wait_for("no tasks yet");
    let id = server.launch(&["-b", "test", "sh", "-c", &steps.script()]);
    // Not the tab of the same name.
    tui.wait_until("the task's row", |screen| {
        screen.lines().any(|line| line.contains("○ pending") && line.contains("until ["))
    });
    tui.type_keys(ENTER);
    tui.wait_for("no worker in batch `test`");

    // The worker's batch is edited, and the dot turns.
    tui.type_keys("1");
    tui.wait_for("mybatch");
    tui.type_keys("b");
    tui.wait_for("Batch of node1");
    tui.type_keys(&format!("{CLEAR}test{ENTER}"));
    tui.wait_for("node1: batch `test`");
    tui.type_keys("2");
    tui.wait_until("the task to run", |screen| {
        screen.lines().any(|line| line.contains("● running") && line.contains("node1"))
    });

    // The words appear one by one in the output while it runs.
    tui.type_keys("o");
    tui.wait_for("── stdout");
    let mut seen: Vec<&str> = Vec::new();
    for word in ["One", "Two", "Three"] {
        let screen = tui.screen();
        assert!(
            !screen.lines().any(|line| line.trim_end() == word),
            "{word} is there too early:\n{screen}"
        );
        steps.allow(word);
        seen.push(word);
        tui.wait_until(word, |screen| {
            seen.iter().all(|word| screen.lines().any(|line| line.trim_end() == *word))
        });
    }
    tui.wait_for("complete");
    tui.type_keys(ESC);
    tui.wait_until("the task to be green", |screen| {
        screen.lines().any(|line| line.contains("✓ succeeded") && line.contains("Three"))
    });

    // Once more.
    tui.type_keys("r");
    tui.wait_for(&format!("relaunched task {id}"));
    until("a second attempt to succeed", || {
        let task = server.task(&id);
        (task["attempts"] == 2 && task["state"] == "succeeded").then_some(())
    });
    edit_and_mend(&server, &mut tui);
    control_a_running_task(&server, &mut tui);
    keep_and_delete(&server, &mut tui);
    tui.type_keys("q");
    assert!(tui.wait().success());
    until("the terminal to be given back", || tui.is_restored().then_some(()));
}

/// A typo turns the dot red, with the shell's own words; mended it turns green.
fn edit_and_mend(server: &Server, tui: &mut Terminal) {
    let id = server.launch(&["-b", "test", "--shell", "echo hello"]);
    server.wait_for(&id, &["succeeded"]);
    tui.wait_until("the new task at the top", |screen| {
        screen.lines().any(|line| line.contains("echo hello") && line.contains("✓ succeeded"))
    });
    tui.type_keys("ge");
    tui.wait_for("command = \"echo hello\"");
    tui.type_keys(&RIGHT.repeat("command = \"".len()));
    tui.type_keys(DELETE);
    tui.wait_for("command = \"cho hello\"");
    tui.type_keys(SAVE);
    tui.wait_for(&format!("edited task {id}"));
    tui.wait_until("the task to be red", |screen| {
        screen.lines().any(|line| line.contains("✗ failed exit 127") && line.contains("cho hello"))
    });
    tui.type_keys("o");
    tui.wait_for("cho: not found");
    tui.type_keys(ESC);
    tui.wait_for("2 tasks");
    tui.type_keys("e");
    tui.wait_for("command = \"cho hello\"");
    tui.type_keys(&RIGHT.repeat("command = \"".len()));
    tui.type_keys("e");
    tui.type_keys(SAVE);
    tui.wait_until("the task to be green again", |screen| {
        screen.lines().any(|line| line.contains("✓ succeeded") && line.contains("echo hello"))
    });
}

/// Pause, resume, stop and kill.
fn control_a_running_task(server: &Server, tui: &mut Terminal) {
    let id = server.launch(&["-b", "test", "sleep", "600"]);
    let row = |state: &'static str| {
        move |screen: &str| {
            screen.lines().any(|line| line.contains("sleep 600") && line.contains(state))
        }
    };
    tui.wait_until("the task to run", row("● running"));
    tui.type_keys("gp");
    tui.wait_until("the task to be paused", row("‖ paused"));
    tui.type_keys("u");
    tui.wait_until("the task to go on", row("● running"));
    tui.type_keys("t");
    tui.wait_for(&format!("Stop task {id}?"));
    tui.type_keys("y");
    tui.wait_until("the task to be stopped", row("✗ failed cancelled"));
    tui.type_keys("r");
    tui.wait_until("the task to run again", row("● running"));
    tui.type_keys("K");
    tui.wait_for(&format!("Kill task {id}?"));
    tui.type_keys("y");
    tui.wait_until("the task to be killed", row("✗ failed cancelled"));
    let task = server.wait_for(&id, &["failed"]);
    assert_eq!(task["signal"], 9, "{task}");
}

/// Complete outputs as files, and deletion.
fn keep_and_delete(server: &Server, tui: &mut Terminal) {
    let id = server.launch(&["-b", "test", "seq", "1", "100000"]);
    server.wait_for(&id, &["succeeded"]);
    tui.wait_for("seq 1 100000");
    tui.type_keys("gd");
    tui.wait_for("Save stdout and stderr");
    tui.type_keys(&format!("{CLEAR}{}{ENTER}", server.path().display()));
    tui.wait_for("saved 2 files");
    let saved = fs::read(server.path().join(format!("task-{id}.stdout"))).unwrap();
    assert_eq!(saved, server.stdout(&id));
    assert_eq!(saved.len(), 588_895);
    tui.type_keys("D");
    tui.wait_for(&format!("Delete task {id}"));
    tui.type_keys("y");
    tui.wait_for(&format!("deleted task {id}"));
    tui.wait_until("the row to go", |screen| !screen.contains("seq 1 100000"));
}

/// The batch screen's actions.
#[test]
fn a_batch_is_paused_let_go_stopped_killed_and_deleted() {
    let mut server = Server::start();
    server.agent(agent_in("test"));
    let first = server.launch(&["-b", "test", "sleep", "600"]);
    let second = server.launch(&["-b", "test", "sleep", "601"]);
    server.wait_for(&second, &["running"]);
    let mut tui = open(&server, &["--screen", "batches"]);
    let row = |part: &'static str| {
        move |screen: &str| screen.lines().any(|line| line.contains("test ") && line.contains(part))
    };
    tui.wait_until("two running tasks", row("●2"));
    // The default batch sorts before it.
    tui.type_keys("G");
    tui.type_keys("p");
    tui.wait_until("a simple pause", row("‖ paused"));
    let third = server.launch(&["-b", "test", "true"]);
    tui.wait_until("two running tasks still", row("●2"));
    tui.type_keys("u");
    tui.wait_until("the batch to go", row("● go"));
    tui.type_keys("P");
    tui.wait_for("and suspend");
    tui.type_keys("y");
    tui.wait_until("a pause with tasks", row("‖ all"));
    server.wait_for(&first, &["paused"]);
    tui.type_keys("U");
    tui.wait_until("the batch to go on", row("● go"));
    server.wait_for(&first, &["running"]);
    tui.type_keys("t");
    tui.wait_for("SIGTERM is sent");
    tui.type_keys("y");
    server.wait_for(&first, &["failed"]);
    tui.wait_until("the batch to be paused by that", row("‖ paused"));
    tui.type_keys("u");
    server.wait_for(&third, &["succeeded"]);
    let fourth = server.launch(&["-b", "test", "sleep", "602"]);
    server.wait_for(&fourth, &["running"]);
    tui.type_keys("K");
    tui.wait_for("SIGKILL is sent");
    tui.type_keys("y");
    server.wait_for(&fourth, &["failed"]);
    tui.type_keys("D");
    tui.wait_for("Type test to do it");
    tui.type_keys(&format!("test{ENTER}"));
    tui.wait_for("deleted `test`");
    until("the tasks to be gone", || {
        let list = server.scitq(&["manage", "task", "list", "--json"]).ok().json();
        list.as_array()?.is_empty().then_some(())
    });
}

#[test]
fn two_screens_and_a_command_line_see_the_same() {
    let mut server = Server::start();
    server.agent(agent_in("test"));
    let id = server.launch(&["-b", "test", "sleep", "600"]);
    server.wait_for(&id, &["running"]);
    let mut one = open(&server, &["--screen", "tasks"]);
    let other = open(&server, &["--screen", "tasks", "--read-only"]);
    for tui in [&one, &other] {
        tui.wait_for("● running");
        tui.wait_for("live");
    }
    one.type_keys("p");
    for tui in [&one, &other] {
        tui.wait_for("‖ paused");
    }
    server.scitq(&["manage", "task", "cancel", &id, "--yes"]).ok();
    for tui in [&one, &other] {
        tui.wait_for("✗ failed cancelled");
    }
    let mut other = other;
    other.type_keys("r");
    other.wait_for("this is a read-only view");
    assert_eq!(server.task(&id)["attempts"], 1);
}

#[test]
fn a_server_that_goes_and_comes_back_is_noticed() {
    let mut server = Server::start();
    let mut tui = open(&server, &[]);
    tui.wait_for("● live");
    server.kill9();
    tui.wait_for("reconnecting");
    tui.type_keys("2");
    tui.wait_for("✓ succeeded");
    server.restart();
    tui.wait_for("● live");
    tui.wait_for("no tasks yet");
}

#[test]
fn the_terminal_is_given_back_whatever_happens() {
    let server = Server::start();
    let scitq = |part: &str| {
        let pids = server.world().processes().into_iter();
        let mut fitting = pids.filter(|pid| {
            let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
            let line = fs::read(path).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(part) && !line.starts_with("setsid")
        });
        fitting.next().expect("the terminal UI runs")
    };
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut tui = open(&server, &["--screen", "batches"]);
        tui.wait_for("no batches yet");
        assert!(tui.is_taken() && !tui.is_restored());
        kill_process(scitq("--screen batches"), signal).unwrap();
        assert_eq!(tui.wait().code(), Some(code));
        until("the terminal to be given back", || tui.is_restored().then_some(()));
    }
    // Ctrl-Z gives it back as well, and takes it again afterwards.
    let mut tui = open(&server, &["--screen", "jobs"]);
    tui.wait_for("no jobs");
    let pid = scitq("--screen jobs");
    tui.type_keys("\x1a");
    until("it to be stopped", || is_stopped(pid).then_some(()));
    until("the terminal to be given back", || tui.is_restored().then_some(()));
    kill_process(pid, Signal::CONT).unwrap();
    until("the terminal to be taken again", || tui.is_taken().then_some(()));
    tui.wait_for("no jobs");
    tui.resize(10, 3);
    tui.wait_for("too small");
    tui.resize(100, 24);
    tui.wait_for("no jobs");
    tui.type_keys("q");
    assert!(tui.wait().success());
}

fn is_stopped(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")))
}

#[test]
fn where_it_cannot_be_shown_it_says_what_it_needs() {
    let server = Server::start();
    server.scitq(&["tui"]).refused(2, "the terminal UI needs a terminal on its input and output");
    let mut dumb = command(&server, &[]);
    dumb.env("TERM", "dumb");
    let mut tui = Terminal::start(&dumb, SIZE);
    tui.wait_for("TERM is `dumb`");
    assert_eq!(tui.wait().code(), Some(2));
    server.scitq(&["tui", "--once", "--server", "127.0.0.1:9"]).refused(69, "cannot reach scitq");
}

#[test]
fn one_frame_is_printed_as_text() {
    let server = Server::start();
    let id = server.launch(&["-b", "alpha", "echo", "a"]);
    server.launch(&["-b", "beta", "echo", "b"]);
    let arguments = ["tui", "--once", "--batch", "alpha", "--state", "pending", "--size", "100x20"];
    let frame = server.scitq(&arguments).ok();
    let text = frame.text();
    assert_eq!(String::from_utf8_lossy(&frame.stdout).lines().count(), 20, "{text}");
    assert!(text.contains("rows 1-1 of 1") && text.contains("echo a"), "{text}");
    assert!(text.contains(&id) && !text.contains("echo b"), "{text}");
    let config = server.scitq(&["tui", "--print-config"]).ok();
    assert!(config.text().contains("theme = \"dark\""));
    let file = server.path().join("tui.toml");
    fs::write(&file, "[keys]\nrelaunch = \"e\"\n").unwrap();
    let named = file.to_str().unwrap();
    server
        .scitq(&["tui", "--once", "--config", named])
        .refused(78, "the key `e` stands for both `relaunch` and `edit`");
}

#[test]
fn a_browser_is_told_what_to_type() {
    use std::io::{Read, Write};
    let server = Server::start();
    let mut connection = std::net::TcpStream::connect(server.address()).unwrap();
    let request = "GET /ui/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("scitq tui"), "{answer}");
}
