//! Executions that an agent holds and the database does not know, since it comes
//! from before they were given out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{AgentOptions, Server, until};

/// A database from before its task was given to a worker, on whose agent it runs
/// until a file `go` is there.
struct Restored {
    server: Server,
    task: String,
}

impl Restored {
    fn new() -> Self {
        let mut server = Server::start();
        server.agent(AgentOptions::default());
        server.scitq(&["manage", "batch", "update", "Default", "--retry", "0"]).ok();
        server.scitq(&["manage", "batch", "pause", "Default"]).ok();
        let go = server.path().join("go");
        let script =
            format!("echo $$; while [ ! -e {} ]; do sleep 0.05; done; echo end", go.display());
        let task = server.launch(&["--shell", &script]);
        assert!(server.stop().success());
        let copy = server.path().join("copy");
        copy_folder(&server.data(), &copy);
        server.restart();
        server.scitq(&["manage", "batch", "go", "Default"]).ok();
        server.wait_for(&task, &["running"]);
        until("the command's first line", || (!server.stdout(&task).is_empty()).then_some(()));
        server.kill9();
        fs::remove_dir_all(server.data()).unwrap();
        fs::rename(&copy, server.data()).unwrap();
        // A copy begins another epoch and skips ids, as the server sees for itself.
        server.restart();
        let restored = Self { server, task };
        until("the orphan in the list", || (restored.orphans() == 1).then_some(()));
        restored
    }

    /// How many orphans its worker shows.
    fn orphans(&self) -> usize {
        let shown =
            self.server.scitq(&["manage", "worker", "show", "worker", "--json"]).ok().json();
        shown["orphans"].as_array().map_or(0, Vec::len)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    assert!(command.arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn an_adopted_orphan_goes_on_and_its_outcome_counts() {
    let restored = Restored::new();
    let Restored { server, task } = &restored;
    assert_eq!(server.task(task)["state"], "pending");
    let adopted = server.scitq(&["manage", "worker", "adopt-orphans", "worker"]).ok();
    assert_eq!(adopted.text(), "1");
    server.wait_for(task, &["running"]);
    fs::write(server.path().join("go"), "").unwrap();
    let ended = server.wait_for(task, &["succeeded", "failed"]);
    assert_eq!((&ended["state"], &ended["attempts"]), (&"succeeded".into(), &1.into()), "{ended}");
    let output = String::from_utf8(server.stdout(task)).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!((lines.len(), lines.last()), (2, Some(&"end")), "{output}");
    assert_eq!(restored.orphans(), 0);
}

#[test]
fn an_abandoned_orphan_is_ended_and_its_task_runs_anew() {
    let restored = Restored::new();
    let Restored { server, task } = &restored;
    server.scitq(&["manage", "worker", "abandon-orphans", "worker"]).refused(1, "--yes");
    server.scitq(&["manage", "worker", "abandon-orphans", "worker", "--yes"]).ok();
    until("no orphan in the list", || (restored.orphans() == 0).then_some(()));
    fs::write(server.path().join("go"), "").unwrap();
    server.scitq(&["manage", "batch", "go", "Default"]).ok();
    let ended = server.wait_for(task, &["succeeded", "failed"]);
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ended["execution"], 1_000_001, "another one than the one that was abandoned");
}
