//! The mistakes that people make most, word for word, and the hint with each
//! that helps.

use insta::assert_snapshot;

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World};

/// Exit code and standard error, with the server's address as HOST.
fn told(server: &Server, ran: &Ran) -> String {
    let text = ran.stderr.trim_end().replace(server.address(), "HOST");
    format!("exit {}\n{text}", ran.code())
}

fn said(server: &Server, arguments: &[&str]) -> String {
    told(server, &server.scitq(arguments))
}

#[test]
fn the_server_is_down() {
    let world = World::new();
    let mut command = world.command(SCITQ);
    // Nobody listens there.
    command.args(["--server", "127.0.0.1:1", "manage", "task", "list"]);
    let ran = Ran::of(command);
    assert_eq!(ran.code(), 69);
    assert_snapshot!(ran.stderr.trim_end(), @r"
    error: cannot reach scitq at http://127.0.0.1:1: connection refused
    hint: start a server with `scitq serve`, or name one with `--server HOST` or SCITQ_SERVER
    ");
}

#[test]
fn the_token_is_wrong() {
    let server = Server::start();
    let ran = server.scitq_as(Some("wrong"), &["manage", "task", "cancel", "--yes", "1"]);
    assert_snapshot!(told(&server, &ran), @r"
    exit 1
    error: scitq at http://HOST does not let you in: the token is not known here: it was revoked, or belongs to another server
    hint: `scitq manage token create` makes a new one
    hint: the token that was sent came from SCITQ_TOKEN
    ");
}

#[test]
fn something_has_another_name() {
    let server = Server::start();
    server.launch(&["--batch", "assembly", "--", "true"]);
    assert_snapshot!(said(&server, &["manage", "task", "show", "77"]), @r"
    exit 1
    error: task 77 does not exist
    hint: `scitq manage task list` shows what there is
    ");
    assert_snapshot!(said(&server, &["manage", "batch", "pause", "asembly"]), @r"
    exit 1
    error: batch `asembly` does not exist
    hint: `scitq manage batch list` shows what there is
    hint: did you mean `assembly`?
    ");
    assert_snapshot!(said(&server, &["manage", "task", "list", "-H", "--batch", "asembly"]), @r"
    exit 0
    warning: batch `asembly` does not exist; did you mean `assembly`?
    ");
    assert_snapshot!(said(&server, &["manage", "worker", "drain", "node7"]), @r"
    exit 1
    error: no worker has the name `node7`
    hint: `scitq manage worker list` shows the workers and their names
    ");
    assert_snapshot!(said(&server, &["manage", "task", "list", "--columns", "id,nmae"]), @r"
    exit 2
    error: --columns: there is no column `nmae`
    hint: one of id, state, name, batch, worker, time, end, phase, hold, priority, tries, created, since, started, ended, execution, revision, by, tags, reason, command
    ");
}

#[test]
fn nothing_fits_a_description() {
    let server = Server::start();
    server.launch(&["--batch", "qc", "--", "true"]);
    assert_snapshot!(said(&server, &["manage", "task", "relaunch", "--yes", "--batch", "qc"]), @r"
    exit 1
    error: no task fits
    hint: only tasks in these states were looked at: assigned, accepted, running, paused, succeeded, failed
    ");
    let failed = ["manage", "task", "delete", "--yes", "--batch", "cq", "--state", "failed"];
    assert_snapshot!(said(&server, &failed), @r"
    exit 1
    error: no task fits
    hint: batch `cq` does not exist; did you mean `qc`?
    ");
    assert_snapshot!(said(&server, &["manage", "task", "pause"]), @r"
    exit 2
    error: no task is named
    hint: give ids, or a description such as --batch qc --state failed
    ");
    assert_snapshot!(said(&server, &["manage", "task", "update", "1", "--replace", "v1", "v2"]), @r"
    exit 1
    error: no command has the text that would be replaced
    hint: a command that was queued word by word is looked at word by word
    ");
}

#[test]
fn a_file_is_missing_or_is_none() {
    let server = Server::start();
    server.launch(&["--", "cat"]);
    assert_snapshot!(said(&server, &["manage", "task", "update", "1", "--stdin", "missing"]), @r"
    exit 2
    error: --stdin: cannot read `missing`
    caused by: No such file or directory (os error 2)
    ");
    assert_snapshot!(said(&server, &["launch", "--input", "/data/reads.fq", "true"]), @r"
    exit 2
    error: --input: `/data/reads.fq` is no URI, it has no `://`
    hint: a file on this machine is `file:///data/reads.fq`
    ");
}

#[test]
fn a_value_cannot_be_read() {
    let server = Server::start();
    assert_snapshot!(said(&server, &["manage", "task", "prune", "--older-than", "30days"]), @r"
    exit 2
    error: --older-than cannot be `30days`: units are s, m, h and d
    hint: `scitq manage task prune --help` tells more
    ");
    assert_snapshot!(said(&server, &["manage", "batch", "update", "qc", "--mem", "8 gigs"]), @r"
    exit 2
    error: --mem cannot be `8 gigs`: units are K, M, G and T
    hint: `scitq manage batch update --help` tells more
    ");
    assert_snapshot!(said(&server, &["manage", "task", "signal", "USER1", "3"]), @r"
    exit 2
    error: SIGNAL cannot be `USER1`: `USER1` is no signal that can be sent: HUP, INT, QUIT, ABRT, KILL, USR1, USR2, ALRM, TERM, CONT, STOP, TSTP, WINCH
    hint: `scitq manage task signal --help` tells more
    ");
}

#[test]
fn shell_text_is_not_quoted() {
    let server = Server::start();
    assert_snapshot!(said(&server, &["launch", "--shell", "zcat", "reads.gz", "|", "wc"]), @r"
    exit 2
    error: --shell takes the command as one word, and this one has 4
    hint: quote it: scitq launch --shell=sh 'zcat reads.gz | wc'
    ");
}

#[test]
fn a_running_task_is_edited() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let id = server.launch(&["--", "sleep", "1000"]);
    server.wait_for(&id, &["running"]);
    assert_snapshot!(said(&server, &["manage", "task", "update", &id, "--retry", "2"]), @r"
    exit 1
    error: task 1 runs, and cannot be edited meanwhile
    hint: add --restart-running to end the command and run it again as edited
    ");
}

#[test]
fn a_task_that_others_wait_for_is_deleted() {
    let server = Server::start();
    let first = server.launch(&["--", "true"]);
    server.launch(&["--after", &first, "--", "true"]);
    assert_snapshot!(said(&server, &["manage", "task", "delete", "--yes", &first]), @r"
    exit 1
    error: task 1 is required by 1 waiting tasks, 2 among them
    hint: delete them as well with --cascade, or leave them blocked with --detach
    ");
}

#[test]
fn many_are_changed_where_nobody_can_be_asked() {
    let server = Server::start();
    server.launch(&["--name", "align-1", "--", "true"]);
    server.launch(&["--name", "align-2", "--", "true"]);
    assert_snapshot!(said(&server, &["manage", "task", "pause", "--name", "align-*"]), @r"
    exit 1
    error: cannot ask whether to pause 2 tasks (pending): align-1, align-2: this is no terminal
    hint: add --yes to do it without being asked
    ");
    assert_snapshot!(said(&server, &["manage", "batch", "delete", "Default"]), @r"
    exit 1
    error: cannot ask whether to delete batch Default with its 2 tasks and their output: this is no terminal
    hint: add --yes to do it without being asked
    ");
}

#[test]
fn a_task_has_ended_or_is_not_paused() {
    let server = Server::start();
    let id = server.launch(&["--", "true"]);
    assert_snapshot!(said(&server, &["manage", "task", "kill", "--yes", &id]), @r"
    exit 1
    error: task 1 is pending, and no command of it runs
    hint: to end a task that does not run: scitq manage task cancel
    ");
    server.scitq(&["manage", "task", "cancel", "--yes", &id]).ok();
    assert_snapshot!(said(&server, &["manage", "task", "cancel", "--yes", &id]), @r"
    exit 1
    error: task 1 has already ended (failed)
    hint: to run it again: scitq manage task relaunch
    ");
}
