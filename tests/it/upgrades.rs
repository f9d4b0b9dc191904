//! The databases of earlier versions, opened under running tasks.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::harness::{AgentOptions, Ran, SCITQ, Server};

/// The steps of the schema, in their order.
fn steps() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server/store/migrations");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut steps: Vec<PathBuf> = entries.collect();
    steps.sort();
    steps
}

/// Makes a database what the version with that many steps would have written of
/// the same work.
fn take_back_to(database: &Path, version: usize) {
    let old = database.with_extension("old");
    #[expect(clippy::disallowed_methods, reason = "a database of an earlier version")]
    let connection = Connection::open(&old).unwrap();
    for step in steps().iter().take(version) {
        connection.execute_batch(&fs::read_to_string(step).unwrap()).unwrap();
    }
    connection.execute("ATTACH ?1 AS later", [database.to_str().unwrap()]).unwrap();
    for table in names(&connection, "SELECT name FROM main.sqlite_schema WHERE type = 'table'") {
        let columns = |schema: &str| {
            names(
                &connection,
                &format!("SELECT name FROM pragma_table_info('{table}', '{schema}')"),
            )
        };
        let later = columns("later");
        let common: Vec<String> =
            columns("main").into_iter().filter(|column| later.contains(column)).collect();
        let common = common.join(", ");
        let sql = format!("INSERT INTO main.{table} ({common}) SELECT {common} FROM later.{table}");
        connection.execute_batch(&sql).unwrap();
    }
    connection.execute_batch("DETACH later").unwrap();
    // Written by versions that knew of the file in which they were.
    connection.execute("DELETE FROM meta WHERE key = 'file'", []).unwrap();
    connection.pragma_update(None, "user_version", u32::try_from(version).unwrap()).unwrap();
    drop(connection);
    for suffix in ["-wal", "-shm"] {
        // Gone already where the server closed it well.
        let _ = fs::remove_file(format!("{}{suffix}", database.display()));
    }
    fs::rename(old, database).unwrap();
}

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

#[test]
fn databases_of_all_earlier_versions_are_upgraded_under_running_tasks() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let database = server.data().join("scitq.db");
    for version in 1..steps().len() {
        let go = server.path().join(format!("go-{version}"));
        let log = server.path().join(format!("log-{version}"));
        let (shown, logged) = (go.display(), log.display());
        let command =
            format!("echo x >>{logged}; until [ -e {shown} ]; do sleep 0.02; done; echo done");
        let running = server.launch(&["--shell", "--", &command]);
        let before = server.wait_for(&running, &["running"]);
        let pending = server.launch(&["--batch", "nobody", "--name", "later", "--", "true"]);
        assert!(server.stop().success());
        take_back_to(&database, version);
        server.restart();
        // What was there is kept, should the step turn out to be a mistake.
        let copy = PathBuf::from(format!("{}.before-{}", database.display(), version + 1));
        assert!(copy.exists(), "no {}", copy.display());
        assert_eq!(server.task(&running)["state"], "running");
        fs::write(&go, "").unwrap();
        let after = server.wait_for(&running, &["succeeded", "failed"]);
        assert_eq!(after["state"], "succeeded");
        assert_eq!((&after["attempts"], &before["attempts"]), (&1.into(), &1.into()));
        assert_eq!(server.stdout(&running), b"done\n");
        assert_eq!(fs::read_to_string(&log).unwrap(), "x\n", "the command ran twice");
        assert_eq!(server.task(&pending)["name"], "later");
        let mut check = server.world().command(SCITQ);
        check.args(["manage", "server", "check", "--data"]).arg(server.data());
        Ran::of(check).ok();
    }
}
