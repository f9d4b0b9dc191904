//! What is asked, and what is shown otherwise, where somebody sits at a terminal.

use serde_json::Value;

use crate::harness::Server;
use crate::terminal::{PROMPT, SCRIPT, Typist, has_programs};

const SHELL: &str = "bash --norc --noprofile -i";

/// A server with two pending tasks in a batch, and somebody at a terminal.
fn at_terminal() -> Option<(Server, Typist)> {
    if !has_programs("questions", &[("bash", "bash"), SCRIPT]) {
        return None;
    }
    let server = Server::start();
    for name in ["align-1", "align-2"] {
        let long = "x".repeat(200);
        server.launch(&["--batch", "qc", "--name", name, "--", "echo", &long]);
    }
    let mut typist = Typist::start(&server, SHELL);
    typist.type_keys("export NO_COLOR=1\n", PROMPT);
    Some((server, typist))
}

fn states(server: &Server) -> Vec<Value> {
    let list = server.scitq(&["manage", "task", "list", "--json"]).ok().json();
    list.as_array().unwrap().iter().map(|task| task["state"].clone()).collect()
}

#[test]
fn a_change_of_many_is_made_only_with_a_yes() {
    let Some((server, mut typist)) = at_terminal() else { return };
    let cancel = "scitq manage task cancel --batch qc\n";
    let asked = typist.type_keys(cancel, "[y/N]");
    assert!(asked.contains("Cancel 2 tasks (pending): align-1, align-2?"), "{asked}");
    // Who just presses Enter means no.
    typist.type_keys("\n", "nothing was done");
    assert_eq!(states(&server), ["pending", "pending"]);
    typist.type_keys(cancel, "[y/N]");
    typist.type_keys("y", "2 tasks cancelled");
    assert_eq!(states(&server), ["failed", "failed"]);
}

#[test]
fn a_bulk_edit_shows_each_change_before_it_asks() {
    let Some((server, mut typist)) = at_terminal() else { return };
    let update = "scitq manage task update --from-batch qc --replace echo printf\n";
    let asked = typist.type_keys(update, "[y/N]");
    assert!(asked.contains("[-echo-]") && asked.contains("{+printf+}"), "{asked}");
    assert!(asked.contains("Change 2 tasks?"), "{asked}");
    typist.type_keys("n", "nothing was done");
    assert_eq!(server.task("1")["revision"], 0);
}

#[test]
fn a_batch_is_deleted_when_its_name_is_typed() {
    let Some((server, mut typist)) = at_terminal() else { return };
    let delete = "scitq manage batch delete qc\n";
    typist.type_keys(delete, "Type `qc` to do it");
    typist.type_keys("yes\n", "nothing was done");
    assert_eq!(states(&server).len(), 2);
    typist.type_keys(delete, "Type `qc` to do it");
    typist.type_keys("qc\n", "batch qc deleted");
    assert_eq!(states(&server).len(), 0);
}

#[test]
fn a_list_fits_the_terminal_and_is_whole_in_a_pipe() {
    let Some((_server, mut typist)) = at_terminal() else { return };
    typist.type_keys("stty rows 24 columns 70\n", PROMPT);
    let list = typist.type_keys("scitq manage task list; echo e''nd\n", "\nend\r");
    let rows: Vec<&str> = list.lines().filter(|line| line.contains("align-")).collect();
    assert_eq!(rows.len(), 2, "{list}");
    assert!(rows.iter().all(|row| row.chars().count() <= 70 && row.contains('…')), "{list}");
    let piped = typist.type_keys("scitq manage task list | cat; echo e''nd\n", "\nend\r");
    assert!(piped.contains(&"x".repeat(200)), "{piped}");
}
