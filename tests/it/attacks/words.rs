//! Names, paths and commands that are meant for somebody else: for the file
//! system, for a terminal.

use std::fs;
use std::path::Path;

use super::is_well;
use crate::harness::{AgentOptions, Server};
use crate::screen::Terminal;

/// Clears the screen, sets a title, and asks the terminal to answer.
const ESCAPES: &str = "a\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[6n\u{9b}31m\u{202e}b";

/// All files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn paths_lead_nowhere_else() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let outside = server.path().join("outside");
    fs::create_dir(&outside).unwrap();
    // A name is a name, and no folder is called after it.
    let id = server.launch(&[
        "--name",
        "../../../../outside/evil",
        "--",
        "sh",
        "-c",
        "echo x >&2; echo y",
    ]);
    server.wait_for(&id, &["succeeded"]);
    assert_eq!(server.stdout(&id), b"y\n");
    for batch in ["../x", "a/../../b", "/etc"] {
        server.scitq(&["launch", "--batch", batch, "--", "true"]).refused(2, "batch");
    }
    // A batch and a worker may be called so, and no folder is.
    server.launch(&["--batch", "..", "--", "true"]);
    server.agent(AgentOptions { name: "..evil..".to_owned(), ..AgentOptions::default() });
    // What a command leaves behind, and where it is sent.
    let target = format!("file://{}/", outside.display());
    let command =
        "ln -s /etc/passwd out/link; ln -s ../../../../../../etc out/up; echo ok >out/fine";
    let command = format!("mkdir -p out; cd \"${{OUTPUT:-.}}\"; mkdir -p out; {command}; true");
    let id = server.launch(&["--output", &target, "--shell", "--", &command]);
    let ended = server.wait_for(&id, &["succeeded", "failed"]);
    let left = files(&outside);
    assert!(!left.iter().any(|path| path.contains("evil")), "{left:?}");
    // A link is followed to the file that it names, and no further.
    assert!(left.iter().all(|path| !path.contains("/up/")), "{left:?}: {ended}");
    is_well(&server);
}

#[test]
fn a_terminal_is_shown_no_escape_of_others() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    for option in [["--tag", &format!("k={ESCAPES}")], ["--batch", ESCAPES]] {
        server.scitq(&[&["launch"], &option[..], &["--", "true"]].concat()).refused(2, "control");
    }
    let id = server.launch(&["--name", ESCAPES, "--", "echo", ESCAPES]);
    server.wait_for(&id, &["succeeded"]);
    let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
    for arguments in [
        &["manage", "task", "list"][..],
        &["manage", "task", "show", &id],
        &["manage", "execution", "list"],
        &["manage", "batch", "list"],
        &["manage", "server", "audit"],
        &["manage", "task", "list", "--json"],
    ] {
        let ran = server.scitq(arguments).ok();
        assert!(!raw(ran.text()), "{arguments:?} prints {:?}", ran.text());
    }
    server.scitq(&["manage", "task", "show", ESCAPES]).refused(2, "id");
    let mut list = server.command(&["manage", "task", "list"]);
    list.env("TERM", "xterm-256color");
    let mut terminal = Terminal::start(&list, (160, 24));
    terminal.wait_for("owned");
    assert!(terminal.wait().success());
    let mut tui = server.command(&["tui", "--screen", "tasks"]);
    tui.env("TERM", "xterm-256color");
    let mut terminal = Terminal::start(&tui, (160, 40));
    // The title's bytes are letters on the screen, and the screen was not cleared.
    let screen = terminal.wait_for("owned");
    assert!(screen.contains("succeeded") && !raw(&screen), "{screen}");
    terminal.type_keys("q");
    terminal.wait();
}
