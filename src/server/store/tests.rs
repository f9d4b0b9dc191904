//! The store with a real file: what was written is what is loaded.

mod lists;

use std::path::Path;
use std::sync::mpsc::channel;

use proptest::prelude::*;
use rusqlite::Connection;

use crate::api::task::Dependents;
use crate::domain::{StoreId, Timestamp};

use super::super::engine::change::ReplyRow;
use super::super::engine::state::Policy;
use super::super::engine::tests::bench::{Bench, START, lasting};
use super::super::engine::tests::random::{World, step};
use super::super::engine::{ChangeSet, Command};
use super::check::check;
use super::{CommitError, CommitJob, Store, StoreError, Writer, connection};

fn open(path: &Path) -> (Store, Writer) {
    Store::open(path, &StoreId("store".to_owned())).unwrap()
}

/// A new database on a disk that is full when it has so many pages.
pub(in crate::server) fn open_limited(path: &Path, pages: u32) -> (Store, Writer) {
    drop(open(path));
    let connection = connection::open_writer(path).unwrap();
    connection.pragma_update(None, "max_page_count", pages).unwrap();
    let readers = std::sync::Arc::new(super::Readers::new(path));
    let store = Store { path: path.to_owned(), origin: super::Origin::Here, readers };
    (store, Writer::start(connection, path).unwrap())
}

fn commit(writer: &Writer, changes: ChangeSet) -> Result<(), CommitError> {
    let (sender, receiver) = channel();
    let then = Box::new(move |outcome: Result<&super::CommitDone<'_>, CommitError>| {
        sender.send(outcome.map(|_| ())).unwrap();
    });
    writer.commit(CommitJob { changes, then });
    receiver.recv().unwrap()
}

/// A database with a task that runs, and one that waits for it.
fn filled(path: &Path) -> Bench {
    let (_store, writer) = open(path);
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let running = bench.create(1, &[]);
    bench.create(0, &[running]);
    bench.start(running);
    commit(&writer, std::mem::take(&mut bench.changes)).unwrap();
    bench
}

#[test]
fn a_loaded_state_is_the_state_that_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scitq.db");
    let bench = filled(&path);
    let (store, _writer) = open(&path);
    let loaded = store.load(Policy::default(), START).unwrap();
    assert_eq!(lasting(&loaded), lasting(&bench.state));
    assert_eq!(check(&path).unwrap(), Vec::<String>::new());
}

#[test]
fn a_worker_that_is_being_deleted_is_so_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scitq.db");
    let mut bench = filled(&path);
    let worker = *bench.state.workers.keys().next().unwrap();
    bench.apply(Command::DeleteWorker(worker)).unwrap();
    let (store, writer) = open(&path);
    commit(&writer, std::mem::take(&mut bench.changes)).unwrap();
    assert!(store.load(Policy::default(), START).unwrap().workers[&worker].deleting);
}

#[test]
fn a_task_made_and_deleted_within_one_commit_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scitq.db");
    let (_store, writer) = open(&path);
    let mut bench = Bench::new();
    let one = bench.create(0, &[]);
    let after = bench.create(0, &[one]);
    bench.delete(after, Dependents::Refuse).unwrap();
    commit(&writer, std::mem::take(&mut bench.changes)).unwrap();
    assert_eq!(check(&path).unwrap(), Vec::<String>::new());
}

#[test]
fn a_reply_is_found_until_it_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (store, writer) = open(&directory.path().join("scitq.db"));
    let row = ReplyRow {
        at: Timestamp(7),
        key: "key".into(),
        request_hash: [3; 32],
        reply: "\"done\"".to_owned(),
    };
    commit(&writer, ChangeSet { replies: vec![row], ..ChangeSet::default() }).unwrap();
    let reader = store.engine_reader().unwrap();
    let found = reader.find_reply("key").unwrap().unwrap();
    assert_eq!((found.request_hash, found.reply.as_str()), ([3; 32], "\"done\""));
    assert_eq!(reader.find_reply("other").unwrap(), None);
    for (before, left) in [(7, true), (8, false)] {
        let forget_replies_before = Some(Timestamp(before));
        commit(&writer, ChangeSet { forget_replies_before, ..ChangeSet::default() }).unwrap();
        assert_eq!(reader.find_reply("key").unwrap().is_some(), left);
    }
}

#[test]
fn a_word_that_is_none_of_ours_is_a_clear_error() {
    for (sql, word) in [
        ("UPDATE task SET state = 'running', execution = NULL WHERE state = 'waiting'", "running"),
        ("UPDATE task SET hold = 'nobody'", "nobody"),
        ("UPDATE batch SET pause = 'somewhat'", "somewhat"),
        ("UPDATE batch SET settings = 'broken'", "broken"),
        ("UPDATE execution SET state = 'flying'", "flying"),
        ("UPDATE execution SET ending = 'sudden'", "sudden"),
        ("UPDATE worker SET wanted = 'rich'", "rich"),
        ("UPDATE worker SET machine = 'broken'", "broken"),
        ("UPDATE batch SET name = 'a/b'", "a/b"),
        ("UPDATE meta SET value = 'many' WHERE key = 'next_task'", "many"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scitq.db");
        filled(&path);
        tamper(&path, sql);
        let (store, _writer) = open(&path);
        let error = store.load(Policy::default(), START).unwrap_err();
        assert!(matches!(error, StoreError::Malformed { .. }), "{sql}: {error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn every_breach_is_named() {
    for (sql, number) in [
        ("UPDATE execution SET state = 'accepted'", "D1"),
        ("UPDATE execution SET finished_at = 1, state = 'failed'", "D2"),
        ("UPDATE execution SET task = 70", "D3"),
        ("UPDATE execution SET finished_at = 1", "D4"),
        ("DELETE FROM worker", "D5"),
        ("UPDATE task SET hidden = 1 WHERE state = 'waiting'", "D6"),
        ("DELETE FROM requirement", "D7"),
        ("INSERT INTO requirement VALUES (70, 1, 'success')", "D8"),
        ("UPDATE task SET attempts = 5", "D9"),
        (
            "INSERT INTO token VALUES (0, 'x', 'agent', 9, zeroblob(32), 0, 'x', NULL, NULL, NULL)",
            "D10",
        ),
        ("UPDATE meta SET value = '1' WHERE key = 'next_execution'", "D11"),
        ("UPDATE batch SET running = 2", "D12"),
        ("UPDATE task SET hold = 'person'", "D14"),
        ("INSERT INTO tag VALUES ('a', 'b', 70)", "D15"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scitq.db");
        filled(&path);
        tamper(&path, sql);
        let found = check(&path).unwrap_or_else(|error| vec![error.to_string()]);
        let named = found.iter().any(|breach| breach.starts_with(&format!("{number}:")));
        assert!(named, "{sql}: {found:?}");
    }
}

fn tamper(path: &Path, sql: &str) {
    let connection: Connection = connection::open_writer(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// With a restart in the middle of the world's life, at which only the disk counts.
    #[test]
    fn whatever_happens_is_loaded_as_it_was_written(
        lives in prop::collection::vec(prop::collection::vec(step(), 1..25), 1..6),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scitq.db");
        let (store, writer) = open(&path);
        let mut world = World::default();
        for life in lives {
            for step in life {
                world.take(step);
            }
            commit(&writer, std::mem::take(&mut world.bench.changes)).unwrap();
            prop_assert_eq!(check(&path).unwrap(), Vec::<String>::new());
            let loaded = store.load(Policy::default(), world.bench.now).unwrap();
            prop_assert_eq!(loaded.violations(), []);
            prop_assert_eq!(lasting(&loaded), lasting(&world.bench.state));
        }
    }
}
