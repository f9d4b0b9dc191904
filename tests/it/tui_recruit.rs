//! The recruiting chapter of the original's guide, key by key, with agents on this
//! machine in the place of a cloud.

use std::process::Command;

use crate::harness::{Server, until};
use crate::hiring::{list, server_with};
use crate::screen::Terminal;

const SIZE: (u16, u16) = (130, 32);
const ENTER: &str = "\r";
const ESC: &str = "\x1b";

fn open(server: &Server) -> Terminal {
    let mut command: Command = server.command(&["tui", "--screen", "workers"]);
    command.env("TERM", "xterm-256color");
    Terminal::start(&command, SIZE)
}

#[test]
fn the_recruiting_chapter_of_the_original_guide() {
    let server = server_with("[hiring]\nname = \"lab\"\nidle_minutes = 0.05\n");
    until("the flavors to be known", || (!list(&server, "flavor").is_empty()).then_some(()));
    let mut tui = open(&server);
    tui.wait_for("no workers yet");
    tui.type_keys("n");
    tui.wait_for("Recruit workers");
    tui.wait_for("local-1");
    // What makes no sense is told with its field, before anything is sent.
    tui.type_keys(&format!("auto:cores>=1{ENTER}"));
    tui.wait_for("`cores` at character 6");
    tui.type_keys("\x15auto:cpu>=1\t\t\tmybatch");
    tui.wait_for("match; 1 x");
    tui.type_keys(ENTER);
    tui.wait_for("hiring 1 worker");
    tui.wait_for("lab-node1");
    tui.wait_for("● running");
    tui.wait_for("✓ succeeded");
    // The log of the job, as it grew.
    tui.type_keys("4");
    tui.wait_for("deploy");
    tui.type_keys(ENTER);
    tui.wait_for("waiting for the agent to call");
    tui.wait_for("the end");
    tui.type_keys(ESC);
    let task = server.launch(&["-b", "mybatch", "echo", "done"]);
    server.wait_for(&task, &["succeeded"]);
    // With nothing to do it goes, from the list and from its provider.
    tui.type_keys("1");
    tui.wait_for("no workers yet");
    tui.type_keys("4");
    tui.wait_for("destroy");
    let left = std::fs::read_dir(server.data().join("hiring/local")).unwrap().count();
    assert_eq!(left, 0);
    // What has ended is forgotten, once that was asked.
    tui.type_keys("aD");
    tui.wait_for("Forget 2 jobs (2 succeeded, 0 failed)?");
    tui.type_keys("y");
    tui.wait_for("forgot 2 jobs");
    tui.wait_for("no jobs");
}
