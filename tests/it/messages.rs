//! What the command line says, word for word: help, and the mistakes that
//! people make most.

use insta::assert_snapshot;

use crate::harness::{Ran, SCITQ, Server, World};

/// Runs a command line and gives its exit code and both streams.
fn said(arguments: &[&str]) -> String {
    let world = World::new();
    let mut command = world.command(SCITQ);
    // Nobody listens there.
    command.env("SCITQ_SERVER", "127.0.0.1:1").args(arguments);
    shown(&Ran::of(command))
}

fn shown(ran: &Ran) -> String {
    let stdout = String::from_utf8_lossy(&ran.stdout);
    let parts = [format!("exit {}", ran.code()), stdout.into_owned(), ran.stderr.clone()];
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n--\n")
}

#[test]
fn help_fits_a_screen() {
    let world = World::new();
    let mut command = world.command(SCITQ);
    command.env("COLUMNS", "80").arg("--help");
    let help = shown(&Ran::of(command));
    let text = help.lines().skip(2);
    // One line is left for the command that is still to come.
    assert!(text.clone().count() <= 23 && text.clone().all(|line| line.len() <= 80), "{help}");
    assert_snapshot!(help, @r#"
    exit 0
    --
    A distributed task queue for heavy scientific tasks

    Usage: scitq [OPTIONS] <COMMAND>

    Commands:
      serve   Run the server that keeps the tasks and gives them to agents
      agent   Run an agent, which takes tasks from the server and runs them here
      launch  Queue a task, or many, and print the ids
      manage  Look at tasks, workers and batches, and change them
      tui     Watch and control workers, tasks and batches in the terminal

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Global options:
      -s, --server <ADDRESS>          Talk to this HOST, HOST:PORT or URL
          --wait-server[=<DURATION>]  Wait for the server, so long or for ever
      -q, --quiet                     Tell nothing but warnings and errors
          --color <WHEN>              Use colours [default: auto]

    Begin with `scitq serve --with-agent`, then `scitq launch --follow echo hello`
    "#);
}

#[test]
fn help_of_launch_says_how_a_command_begins() {
    let help = said(&["launch", "--help"]);
    assert!(help.starts_with("exit 0"), "{help}");
    assert!(help.contains("The command begins at the first word that is no option"), "{help}");
}

#[test]
fn every_subcommand_has_an_example() {
    let mut pending = vec![Vec::<String>::new()];
    let mut count = 0;
    while let Some(words) = pending.pop() {
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let help = said(&arguments);
        let commands = help.split_once("\nCommands:\n").map(|(_, rest)| rest);
        let Some(commands) = commands else {
            assert!(help.contains("\nExample"), "{words:?} has no example:\n{help}");
            count += 1;
            continue;
        };
        for line in commands.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.split_whitespace().next().unwrap().to_owned();
            pending.push([words.clone(), vec![name]].concat());
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn a_server_that_is_down_is_told_with_what_to_do() {
    assert_snapshot!(said(&["launch", "true"]), @r#"
    exit 69
    --
    error: cannot reach scitq at http://127.0.0.1:1: connection refused
    hint: start a server with `scitq serve`, or name one with `--server HOST` or SCITQ_SERVER
    "#);
    assert_snapshot!(said(&["manage", "task", "show", "--json", "1"]), @r#"
    exit 69
    --
    {"error":{"message":"cannot reach scitq at http://127.0.0.1:1: connection refused","hints":["start a server with `scitq serve`, or name one with `--server HOST` or SCITQ_SERVER"],"exit_code":69}}
    "#);
}

#[test]
fn an_unknown_option_is_an_error_and_never_the_command() {
    assert_snapshot!(said(&["launch", "-z", "foo"]), @r#"
    exit 2
    --
    error: unknown option `-z`
    hint: a command that begins with `-` needs `--` in front of it
    hint: `scitq launch --help` tells more
    "#);
}

#[test]
fn a_missing_command_is_asked_for() {
    assert_snapshot!(said(&["launch"]), @r#"
    exit 2
    --
    error: COMMAND is missing
    hint: write scitq launch [OPTIONS] <COMMAND>...; `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(&["launch", ""]), @r#"
    exit 2
    --
    error: the command is empty
    "#);
}

#[test]
fn a_bad_id_is_quoted() {
    assert_snapshot!(said(&["manage", "task", "show", "12,x"]), @r#"
    exit 2
    --
    error: ID cannot be `12,x`: `x` is no id
    hint: `scitq manage task show --help` tells more
    "#);
    assert_snapshot!(said(&["manage", "task", "output", "twelve"]), @r#"
    exit 2
    --
    error: ID cannot be `twelve`: an id is a number
    hint: `scitq manage task output --help` tells more
    "#);
    assert_snapshot!(said(&["launch", "-R", "", "true"]), @r#"
    exit 2
    --
    error: --after cannot be empty: it names no id
    hint: `scitq launch --help` tells more
    "#);
}

#[test]
fn a_bad_uri_is_told_with_the_good_one() {
    assert_snapshot!(said(&["launch", "-i", "/data/reads.fq", "true"]), @r#"
    exit 2
    --
    error: --input: `/data/reads.fq` is no URI, it has no `://`
    hint: a file on this machine is `file:///data/reads.fq`
    "#);
    assert_snapshot!(said(&["launch", "-o", "file://", "true"]), @r#"
    exit 2
    --
    error: --output: `file://` has no path after `://`
    "#);
}

#[test]
fn an_unknown_state_is_told_with_those_that_there_are() {
    assert_snapshot!(said(&["manage", "task", "list", "-S", "finished"]), @r#"
    exit 2
    --
    error: --state cannot be `finished`
    hint: did you mean `failed`?
    hint: one of waiting, pending, assigned, accepted, running, paused, succeeded, failed
    hint: `scitq manage task list --help` tells more
    "#);
}

#[test]
fn destroying_without_a_terminal_wants_consent() {
    assert_snapshot!(said(&["manage", "task", "delete", "12", "13"]), @r#"
    exit 1
    --
    error: cannot ask whether to delete tasks 12, 13: this is no terminal
    hint: add --yes to do it without being asked
    "#);
}

#[test]
fn an_address_that_cannot_be_used_is_a_wrong_setting() {
    assert_snapshot!(said(&["manage", "task", "list", "--server", "ftp://head"]), @r#"
    exit 78
    --
    error: the server address `ftp://head` has the unknown scheme `ftp`
    hint: write HOST, HOST:PORT, https://HOST:PORT or ssh://[USER@]HOST
    "#);
    assert_snapshot!(said(&["manage", "task", "list", "--server", "head:x"]), @r#"
    exit 78
    --
    error: `head:x` is no server address: invalid port number
    hint: write HOST, HOST:PORT, https://HOST:PORT or ssh://[USER@]HOST
    "#);
}

#[test]
fn a_test_prints_what_would_be_sent() {
    assert_snapshot!(said(&["launch", "-t", "-n", "count", "wc", "-l", "a b"]), @r#"
    exit 0
    --
    {
      "tasks": [
        {
          "command": [
            "wc",
            "-l",
            "a b"
          ],
          "name": "count",
          "batch": "Default"
        }
      ]
    }
    "#);
}

#[test]
fn an_option_may_come_from_a_variable() {
    let world = World::new();
    let mut command = world.command(SCITQ);
    command.env("SCITQ_LAUNCH_BATCH", "qc").env("SCITQ_LAUNCH_RUN_TIMEOUT", "2m");
    command.args(["launch", "--test", "--run-timeout", "1m", "true"]);
    let sent = Ran::of(command).ok().json();
    assert_eq!(
        (&sent["tasks"][0]["batch"], &sent["tasks"][0]["run_timeout"]),
        (&"qc".into(), &60.into())
    );
}

#[test]
fn what_a_server_refuses_is_told_with_what_to_do() {
    let server = Server::start();
    let first = server.launch(&["--name", "twin", "--", "true"]);
    let second = server.launch(&["--name", "twin", "--", "true"]);
    assert_eq!((first.as_str(), second.as_str()), ("1", "2"));
    let said = |ran: Ran| shown(&ran).replace(server.address(), "HOST");
    let show = ["manage", "task", "show", "77"];
    assert_snapshot!(said(server.scitq(&show)), @r"
    exit 1
    --
    error: task 77 does not exist
    hint: `scitq manage task list` shows what there is
    ");
    assert_snapshot!(said(server.scitq(&["manage", "task", "show", "-n", "twin"])), @r"
    exit 1
    --
    error: several tasks have the name `twin`
    hint: give the id of one: 2 (pending, batch Default), 1 (pending, batch Default)
    ");
    assert_snapshot!(said(server.scitq(&["manage", "task", "show", "-n", "none"])), @r"
    exit 1
    --
    error: no task has the name `none`
    hint: `scitq manage task list` shows the tasks and their names
    ");
    assert_snapshot!(said(server.scitq_as(None, &show)), @r"
    exit 1
    --
    error: scitq at http://HOST does not let you in: a token is needed (`Authorization: Bearer <token>`)
    hint: set SCITQ_TOKEN or SCITQ_TOKEN_FILE; `scitq manage token create` makes one
    ");
    assert_snapshot!(said(server.scitq_as(Some("wrong"), &show)), @r"
    exit 1
    --
    error: scitq at http://HOST does not let you in: the token is not known here: it was revoked, or belongs to another server
    hint: `scitq manage token create` makes a new one
    hint: the token that was sent came from SCITQ_TOKEN
    ");
}

#[test]
fn a_list_in_a_pipe_is_whole() {
    let server = Server::start();
    let long = "x".repeat(300);
    server.launch(&["--name", "esc\u{1b}[2J", "--", "echo", &long]);
    let list = server.scitq(&["manage", "task", "list"]).ok();
    assert!(list.text().contains(&long) && list.text().contains("esc\\u{1b}[2J"), "{list}");
    let bare = server.scitq(&["manage", "task", "list", "-H", "--batch", "none"]).ok();
    assert_eq!(bare.text(), "");
}
