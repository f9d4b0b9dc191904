//! The terminal UI with the user's other programs, in terminals of all kinds,
//! and when it fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{AgentOptions, Server, until};
use crate::screen::Terminal;

const SIZE: (u16, u16) = (120, 30);

fn tui(server: &Server, arguments: &[&str]) -> Command {
    let mut command = server.command(&[&["tui"], arguments].concat());
    command.env("TERM", "xterm-256color");
    command
}

/// A program of a few words.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_task_is_edited_in_the_editor_of_the_user() {
    let server = Server::start();
    let id = server.launch(&["--name", "one", "echo", "hello"]);
    let folder = server.path().join("programs");
    let once = server.path().join("once");
    // The first time it mends, then it breaks the text, then it fails.
    let text = format!(
        "if [ ! -e {0} ]; then sed -i 's/hello/mended/' \"$1\"; touch {0}
         elif [ ! -e {0}2 ]; then echo 'colour = 1' >>\"$1\"; touch {0}2
         else printf 'EDITOR FAILS '; read -r line; exit 3; fi",
        once.display()
    );
    let editor = script(&folder, "editor", &text);
    let mut command = tui(&server, &["--screen", "tasks"]);
    command.env("EDITOR", format!("{} -x", editor.display()));
    // It gets its own arguments first.
    fs::write(&editor, fs::read_to_string(&editor).unwrap().replace("\"$1\"", "\"$2\"")).unwrap();
    let mut tui = Terminal::start(&command, SIZE);
    tui.wait_for("echo hello");
    tui.type_keys("E");
    tui.wait_for(&format!("edited task {id}"));
    tui.wait_for("echo mended");
    assert_eq!(server.task(&id)["revision"], 1);
    // What makes no sense is not lost: it can be mended here.
    tui.type_keys("E");
    tui.wait_for("unknown field `colour`");
    tui.type_keys("\x1b");
    tui.wait_until("the editor to close", |screen| !screen.contains("unknown field"));
    tui.type_keys("E");
    tui.wait_for("EDITOR FAILS");
    assert!(!tui.is_taken(), "the editor has the terminal");
    tui.type_keys("\r");
    tui.wait_for("editor ended with exit status: 3");
    assert_eq!(server.task(&id)["revision"], 1);
    tui.type_keys("q");
    assert!(tui.wait().success());
    let left = fs::read_dir(server.path().join("tmp")).unwrap().count();
    assert_eq!(left, 0, "no file of an edit is left behind");
}

#[test]
fn output_is_shown_in_the_pager_of_the_user_and_a_worker_reached_by_ssh() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let id = server.launch(&["seq", "1", "100000"]);
    server.wait_for(&id, &["succeeded"]);
    let folder = server.path().join("programs");
    let seen = server.path().join("seen");
    let pager = format!("cp \"$1\" {}; printf 'PAGER HERE '; read -r line", seen.display());
    let pager = script(&folder, "pager", &pager);
    let ssh = format!("echo \"$@\" >{0}.ssh; printf 'SSH HERE '; read -r line", seen.display());
    script(&folder, "ssh", &ssh);
    let mut path = folder.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = tui(&server, &["--screen", "tasks"]);
    command.env("PAGER", &pager).env("PATH", path);
    let mut tui = Terminal::start(&command, SIZE);
    tui.wait_for("✓ succeeded");
    tui.wait_for("seq 1 100000");
    tui.type_keys("o");
    tui.wait_for("99999");
    tui.type_keys("P");
    tui.wait_for("PAGER HERE");
    assert!(!tui.is_taken(), "the pager has the terminal");
    assert_eq!(fs::read(&seen).unwrap(), server.stdout(&id));
    tui.type_keys("\r");
    tui.wait_for("── stdout");
    tui.type_keys("1");
    tui.wait_for("worker");
    tui.wait_for("mem%");
    tui.type_keys("!");
    tui.wait_for("SSH HERE");
    tui.type_keys("\r");
    tui.wait_for("mem%");
    let host = fs::read_to_string(server.path().join("seen.ssh")).unwrap();
    let workers = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
    assert_eq!(host.trim(), workers[0]["machine"]["hostname"].as_str().unwrap());
    tui.type_keys("q");
    assert!(tui.wait().success());
}

#[test]
fn clicks_are_taken_unless_the_user_wants_them_for_the_terminal() {
    let server = Server::start();
    for number in 1..=3 {
        server.launch(&["echo", &format!("task-{number}")]);
    }
    let mut with = Terminal::start(&tui(&server, &["--screen", "tasks"]), SIZE);
    with.wait_for("rows 1-3 of 3");
    assert!(with.takes_clicks());
    // On the third row, twice: it is chosen, then opened.
    for _ in 0..2 {
        with.type_keys("\x1b[<0;10;6M\x1b[<0;10;6m");
    }
    with.wait_for("task 1");
    with.wait_for("command");
    let file = server.path().join("tui.toml");
    fs::write(&file, "mouse = false\n").unwrap();
    let arguments = ["--screen", "tasks", "--config", file.to_str().unwrap()];
    let without = Terminal::start(&tui(&server, &arguments), SIZE);
    without.wait_for("rows 1-3 of 3");
    assert!(!without.takes_clicks());
}

#[test]
fn a_poor_terminal_gets_what_it_can_show() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let id = server.launch(&["--name", "étude", "echo", "日本"]);
    server.wait_for(&id, &["succeeded"]);
    let mut plain = tui(&server, &["--screen", "tasks"]);
    plain.env("LANG", "C").env("TERM", "vt100");
    let tui = Terminal::start(&plain, (80, 24));
    let screen = tui.wait_for("v succeeded");
    tui.wait_for("live");
    assert!(screen.is_ascii(), "{screen}");
    assert!(!tui.has_colours(), "a vt100 has none");
    let mut without = self::tui(&server, &["--screen", "tasks"]);
    without.env("NO_COLOR", "1");
    let tui = Terminal::start(&without, (80, 24));
    tui.wait_for("✓ succeeded");
    assert!(!tui.has_colours());
    let tui = Terminal::start(&self::tui(&server, &["--screen", "tasks"]), (80, 24));
    tui.wait_for("✓ succeeded");
    assert!(tui.has_colours());
}

#[test]
fn a_terminal_that_shrinks_to_nothing_and_grows_again_shows_all_again() {
    let server = Server::start();
    server.launch(&["echo", "here"]);
    let mut tui = Terminal::start(&tui(&server, &["--screen", "tasks"]), (80, 24));
    tui.wait_for("rows 1-1 of 1");
    for keys in ["?", ":", "D", "e"] {
        tui.type_keys(keys);
        if keys == "e" {
            // It opens when the server has told the task's specification.
            tui.wait_for("Can be set as well");
        }
        tui.resize(10, 3);
        tui.wait_for("too small");
        tui.resize(80, 24);
        tui.wait_until("the screen", |screen| !screen.contains("too small"));
        tui.type_keys("\x1b");
        tui.wait_for("rows 1-1 of 1");
    }
    tui.wait_until("the editor to close", |screen| !screen.contains("Can be set as well"));
    tui.type_keys("q");
    assert!(tui.wait().success());
}

/// The name under which the test below starts itself in a terminal.
const PANICS: &str = "tui_surroundings::a_panic_gives_the_terminal_back_and_is_readable";

#[test]
fn a_panic_gives_the_terminal_back_and_is_readable() {
    // Started in a terminal by itself, it is the program that panics.
    if let Some(address) = std::env::var_os("SCITQ_TEST_PANICS") {
        panic_on_screen(address.to_str().unwrap());
        return;
    }
    let server = Server::start();
    let mut command = server.program(std::env::current_exe().unwrap());
    command.args(["--exact", PANICS, "--nocapture", "--test-threads=1"]);
    command.env("TERM", "xterm-256color").env("SCITQ_TEST_PANICS", server.url());
    let go = server.path().join("go");
    let mut tui = Terminal::start(&command, SIZE);
    tui.wait_for("no workers yet");
    assert!(tui.is_taken() && !tui.is_restored());
    fs::write(&go, "").unwrap();
    // All that it tells comes after the screen was given back.
    tui.wait_for("a defect of the test");
    assert!(!tui.wait().success());
    until("the terminal to be given back", || tui.is_restored().then_some(()));
    let screen = tui.wait_for("a defect of the test");
    assert!(!screen.contains("no workers yet"), "{screen}");
}

/// Shows the terminal UI, and panics beside it when a file appears.
fn panic_on_screen(address: &str) {
    use scitq::api::Client;
    use scitq::api::client::ClientConfig;
    use scitq::tui::{Options, Programs, TuiError};
    let token = fs::read_to_string(std::env::var_os("SCITQ_TOKEN_FILE").unwrap()).unwrap();
    let config = ClientConfig {
        address: address.parse().unwrap(),
        token: Some(token.trim().to_owned()),
        ..ClientConfig::default()
    };
    let options = Options {
        access: scitq::tui::state::Access::Full,
        config: scitq::tui::config::Config::default(),
        keymap: scitq::tui::keymap::Keymap::new(&std::collections::BTreeMap::new()).unwrap(),
        theme: scitq::tui::theme::Theme::default(),
        memory: scitq::tui::config::Memory::default(),
        memory_file: None,
        programs: Programs::default(),
        size: SIZE,
    };
    std::thread::spawn(|| {
        until("the word to go", || Path::new("go").exists().then_some(()));
        panic!("a defect of the test");
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended =
        runtime.block_on(async { scitq::tui::run(Client::new(config).unwrap(), options).await });
    assert!(matches!(ended, Err(TuiError::Defect)), "{ended:?}");
    panic!("it has ended as it should");
}
