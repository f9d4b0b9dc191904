//! `scitq manage server import`: a database that the original's own server has made.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::Server;
use crate::world::Ran;

/// Makes the database of `original.sql`; none where there is no Python, which is said.
fn database(server: &Server) -> Option<PathBuf> {
    let file = server.path().join("original.db");
    let dump = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/legacy/original.sql");
    let script = "import sqlite3, sys; \
                  sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())";
    let mut command = server.world().command("python3");
    command.args(["-c", script]).arg(&file).arg(dump);
    if command.spawn().map(|mut process| process.wait()).is_err() {
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci, "SKIPPED: python3 is not installed (tests/run does it)");
        eprintln!("SKIPPED: python3 is not installed (tests/run does it)");
        return None;
    }
    Some(file)
}

fn import(server: &Server, arguments: &[&str]) -> Ran {
    server.scitq(&[&["manage", "server", "import"], arguments].concat())
}

fn by_old_id(server: &Server, id: &str) -> Value {
    let tag = format!("scitq1.id={id}");
    let list = server.scitq(&["manage", "task", "list", "--tag", &tag, "--json"]).ok().json();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    server.task(&list[0]["id"].to_string())
}

#[test]
fn a_database_of_the_original_is_taken_over_once() {
    let mut server = Server::start();
    let Some(file) = database(&server) else { return };
    let file = file.display().to_string();
    let before = std::fs::read(&file).unwrap();
    server.launch(&["true"]);
    let dry = import(&server, &[&file, "--dry-run"]).ok();
    let counts = "6 tasks (1 failed, 1 paused, 1 pending, 1 running, 1 succeeded, 1 waiting), \
                  4 executions, 1 workers, 1 recruiters";
    assert!(dry.stderr.contains(counts), "{dry}");
    assert!(dry.stderr.contains("task 7: ") && dry.stderr.contains("auto:cpu>4"), "{dry}");
    let list = |server: &Server| server.scitq(&["manage", "task", "list", "--json"]).ok().json();
    assert_eq!(list(&server).as_array().unwrap().len(), 1);

    import(&server, &[&file]).ok();
    assert_eq!(std::fs::read(&file).unwrap(), before);
    // All of it is on the disk.
    server.kill9();
    server.restart();
    let good = by_old_id(&server, "2");
    assert_eq!((&good["state"], &good["name"]), (&json!("succeeded"), &json!("good")));
    assert_eq!(good["created_at"], "2026-11-25T10:50:27.309362Z");
    assert_eq!(good["spec"]["input"], json!(["file:///data/a.fq", "file:///data/b.fq"]));
    assert_eq!(server.stdout(&good["id"].to_string()), "é good\n".as_bytes());
    let execution = &good["executions"][0];
    assert_eq!(
        (&execution["worker_name"], &execution["state"]),
        (&json!("node1"), &json!("succeeded"))
    );
    let bad = by_old_id(&server, "3");
    assert_eq!((&bad["state"], &bad["attempts"]), (&json!("failed"), &json!(2)));
    assert_eq!(bad["executions"][1]["outcome"]["exit_code"], 1);
    assert_eq!(bad["executions"][0]["outcome"]["signal"], 9);
    let runs = by_old_id(&server, "4");
    assert_eq!(runs["state"], "pending");
    assert_eq!(runs["executions"][0]["outcome"]["failure"]["class"], "lost");
    let waits = by_old_id(&server, "5");
    assert_eq!(
        (&waits["state"], &waits["spec"]["container"]),
        (&json!("waiting"), &json!("alpine"))
    );
    assert_eq!(waits["requirements"].as_array().unwrap().len(), 2);
    assert_eq!(by_old_id(&server, "6")["state"], "paused");
    let far = by_old_id(&server, "7");
    assert_eq!(far["state"], "failed");
    assert!(far["failure_reason"].as_str().unwrap().contains("nonsense"), "{far}");
    let workers = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
    assert_eq!((&workers[0]["name"], &workers[0]["concurrency"]), (&json!("node1"), &json!(4)));

    let again = import(&server, &[&file]).ok();
    assert!(again.stderr.contains("6 of the tasks were imported before"), "{again}");
    assert_eq!(list(&server).as_array().unwrap().len(), 7);
}

#[test]
fn what_is_no_database_of_the_original_changes_nothing() {
    let server = Server::start();
    let file = server.path().join("text");
    std::fs::write(&file, "no database\n").unwrap();
    let ran = import(&server, &[&file.display().to_string()]).refused(78, "cannot read");
    assert!(ran.stderr.contains("hint: "), "{ran}");
    import(&server, &["/nowhere/scitq.db"]).refused(2, "there is no file");
}
