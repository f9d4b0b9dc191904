//! `scitq manage debug run`: a task by hand, of which the server learns nothing.

use std::fs;

use crate::engine::{Engine, IMAGE};
use crate::harness::{Ran, Server};
use crate::screen::Terminal;

/// The task is as it was before anybody ran it by hand.
#[track_caller]
fn is_untouched(server: &Server, id: &str) {
    let task = server.task(id);
    assert_eq!((&task["state"], &task["attempts"]), (&"pending".into(), &0.into()), "{task}");
}

#[test]
fn a_pending_task_is_run_by_hand_and_stays_as_it_is() {
    let server = Server::start();
    let input = server.path().join("letter.txt");
    fs::write(&input, "dear").unwrap();
    let input = format!("file://{}", input.display());
    let output = server.path().join("out");
    let uri = format!("file://{}/", output.display());
    let script = "cat $INPUT/letter.txt $RESOURCE/letter.txt; echo $SCITQ_TASK_NAME $X; \
                  echo made >$OUTPUT/it; pwd; exit 3";
    let options = ["-i", &input, "-r", &input, "-o", &uri, "-n", "look", "--env", "X=a b"];
    let id = server.launch(&[&options[..], &["--shell", "--", script]].concat());
    let folder = server.path().join(format!("scitq-task-{id}"));
    let run = ["manage", "debug", "run", &id];
    for _ in 0..2 {
        let ran = server.scitq(&run).refused(3, "exit code 3");
        assert_eq!(ran.text(), format!("deardearlook a b\n{}", folder.display()));
        assert_eq!(fs::read_to_string(folder.join("output/it")).unwrap(), "made\n");
    }
    let shell = server.scitq(&[&run[..], &["--shell=pwd"]].concat()).ok();
    assert_eq!(shell.text(), folder.display().to_string());
    assert!(!output.exists(), "nothing is sent");
    is_untouched(&server, &id);
}

#[test]
fn the_folder_of_something_else_is_left_alone() {
    let server = Server::start();
    let id = server.launch(&["--", "true"]);
    let folder = server.path().join("mine");
    fs::create_dir_all(folder.join("input")).unwrap();
    fs::write(folder.join("input/precious"), "").unwrap();
    let run = ["manage", "debug", "run", &id, "--workdir", folder.to_str().unwrap()];
    let ran = server.scitq(&run).refused(1, &format!("is no folder of task {id}"));
    assert!(ran.stderr.contains("--workdir"), "{ran}");
    assert!(folder.join("input/precious").exists());
    server.scitq(&["manage", "debug", "run", "999"]).refused(1, "999");
}

#[test]
fn a_container_is_at_the_terminal_of_who_runs_it_by_hand() {
    let Some(engine) = Engine::of_this_machine() else { return };
    let server = Server::start();
    let id = server.launch(&["--docker", IMAGE, "--", "echo", "the", "command"]);
    let run = ["manage", "debug", "run", id.as_str()];
    let by_hand = |options: &[&str]| {
        let mut command = server.command(&[&run[..], options].concat());
        command.env("DOCKER_HOST", engine.address());
        command
    };
    let mut terminal = Terminal::start(&by_hand(&["--shell"]), (80, 24));
    terminal.wait_for("~ #");
    terminal.type_keys("echo $((6 * 7)) in $INPUT; busybox stty size; echo kept >$OUTPUT/it\r");
    terminal.wait_for("42 in /input");
    terminal.wait_for("24 80");
    terminal.type_keys("exit 5\r");
    assert_eq!(terminal.wait().code(), Some(5));
    assert!(terminal.is_restored(), "{}", terminal.screen());
    let kept = server.path().join(format!("scitq-task-{id}/output/it"));
    assert_eq!(fs::read_to_string(kept).unwrap(), "kept\n");

    let ran = Ran::of(by_hand(&[])).ok();
    assert_eq!(ran.text(), "the command");
    let own = format!("label=scitq.by-hand={}/scitq-task-{id}", server.path().display());
    assert_eq!(engine.docker(&["ps", "--all", "--quiet", "--filter", &own]), "");
    is_untouched(&server, &id);
}

#[test]
fn a_container_by_hand_needs_an_engine() {
    let server = Server::start();
    let id = server.launch(&["--docker", IMAGE, "--", "true"]);
    let mut command = server.command(&["manage", "debug", "run", &id]);
    command.env("DOCKER_HOST", format!("unix://{}/nowhere", server.path().display()));
    let ran = Ran::of(command).refused(1, "does not answer");
    assert!(ran.stderr.contains("DOCKER_HOST"), "{ran}");
}
