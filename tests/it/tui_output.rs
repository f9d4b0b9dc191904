//! The log view of the terminal UI, with output of all kinds.

use std::process::Command;

use crate::harness::{AgentOptions, Server};
use crate::screen::Terminal;

const SIZE: (u16, u16) = (100, 30);

const UP: &str = "\x1b[5~";
const DOWN: &str = "\x1b[6~";

fn tui(server: &Server) -> Terminal {
    let mut command: Command = server.command(&["tui", "--screen", "tasks"]);
    command.env("TERM", "xterm-256color");
    Terminal::start(&command, SIZE)
}

/// Whether a line of the screen is this one.
fn has_line(line: &str) -> impl Fn(&str) -> bool {
    move |screen| screen.lines().any(|shown| shown.trim_end() == line)
}

#[test]
fn a_long_log_is_opened_at_its_end_scrolled_both_ways_and_searched() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let id = server.launch(&["seq", "1", "1000000"]);
    server.wait_for(&id, &["succeeded"]);
    let mut tui = tui(&server);
    tui.wait_for("✓ succeeded");
    tui.wait_for("rows 1-1 of 1");
    tui.type_keys("o");
    tui.wait_until("the end", has_line("1000000"));
    tui.wait_for("complete");
    for _ in 0..4 {
        tui.type_keys(UP);
    }
    tui.wait_until("lines further up", has_line("999900"));
    tui.type_keys(DOWN);
    tui.wait_until("lines further down", has_line("999925"));
    tui.type_keys("g");
    tui.wait_until("the beginning", has_line("1"));
    // Behind all that was read so far.
    tui.type_keys("/777777\r");
    tui.wait_until("the hit", has_line("777777"));
    tui.type_keys("/\x1599999\rn");
    tui.wait_until("a later hit", |screen| screen.contains("99999"));
    tui.type_keys("/\x15no such line\r");
    tui.wait_for("`no such line` is not behind this place");
    tui.type_keys("G");
    tui.wait_until("the end again", has_line("1000000"));
    tui.type_keys("q");
    assert!(tui.wait().success());
}

#[test]
fn whatever_a_command_writes_garbles_no_screen() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let script = r"printf '10%%\r50%%\r100%%\n'; printf '\033[31mred\033[0m \033[2J\033[Hplain\n'
        printf 'a\000b\377c\n'; head -c 1000000 /dev/zero | tr '\000' x; echo; echo last";
    let id = server.launch(&["sh", "-c", script]);
    server.wait_for(&id, &["succeeded"]);
    let mut tui = tui(&server);
    tui.wait_for("✓ succeeded");
    tui.type_keys("o");
    tui.wait_until("the end", has_line("last"));
    tui.type_keys("g");
    let screen = tui.wait_until("the beginning", has_line("100%"));
    assert!(has_line("red plain")(&screen), "{screen}");
    // The byte that is no text is shown as one, which this terminal leaves out.
    assert!(has_line("a␀bc")(&screen), "{screen}");
    assert!(screen.contains(&"x".repeat(100)), "{screen}");
    assert!(screen.contains("── stdout"), "the frame is still there:\n{screen}");
    tui.type_keys("wG");
    tui.wait_until("the end, with long lines cut", has_line("last"));
    tui.type_keys("q");
    assert!(tui.wait().success());
}

#[test]
fn both_streams_are_shown_as_one_with_the_times_of_their_lines() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let go = server.path().join("go");
    // Each line comes after the one before has been seen.
    let script = format!(
        "for n in 1 2 3; do
             echo out-$n; until [ -e {0}-$n-a ]; do sleep 0.02; done
             echo err-$n >&2; until [ -e {0}-$n-b ]; do sleep 0.02; done
         done",
        go.display()
    );
    server.launch(&["sh", "-c", &script]);
    let mut tui = tui(&server);
    tui.wait_for("● running");
    tui.wait_for("rows 1-1 of 1");
    tui.type_keys("o");
    for number in 1..=3 {
        tui.wait_until("a line of stdout", has_line(&format!("out-{number}")));
        std::fs::write(format!("{}-{number}-a", go.display()), "").unwrap();
        tui.wait_until("a line of stderr", has_line(&format!("err-{number}")));
        std::fs::write(format!("{}-{number}-b", go.display()), "").unwrap();
    }
    tui.type_keys("\t\t\t");
    let lines = |screen: &str| -> Vec<String> {
        let text = |line: &str| line.trim_start_matches(['!', ' ']).trim_end().to_owned();
        let all = screen.lines().map(text);
        all.filter(|line| line.starts_with("out-") || line.starts_with("err-")).collect()
    };
    let expected = ["out-1", "err-1", "out-2", "err-2", "out-3", "err-3"];
    tui.wait_until("all lines in their order", |screen| lines(screen) == expected);
    tui.type_keys("T");
    let is_dated =
        |line: &str| line.contains("out-2") && line.chars().filter(|c| *c == ':').count() == 2;
    tui.wait_until("the times", |screen| screen.lines().any(is_dated));
    tui.type_keys("q");
    assert!(tui.wait().success());
}
