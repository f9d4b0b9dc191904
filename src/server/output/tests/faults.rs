//! Disks that are full, fail, or forget.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::super::segments::Segments;
use super::super::{Hole, IndexError, OutputError};
use super::*;

fn shorten(directory: &Path, segment: &str, length: u64) {
    let file = OpenOptions::new().write(true).open(directory.join(segment)).unwrap();
    file.set_len(length).unwrap();
}

fn lengthen(directory: &Path, segment: &str, by: u64) {
    let file = OpenOptions::new().write(true).open(directory.join(segment)).unwrap();
    file.set_len(file.metadata().unwrap().len() + by).unwrap();
}

async fn size(store: &OutputStore, execution: u64) -> u64 {
    store.sizes(ExecutionId(execution)).await.unwrap().stdout
}

#[tokio::test]
async fn a_full_disk_is_told_and_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    grow(&store, 1, 0, 100, 10).await;
    store.faults.writes.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        let full =
            store.append(ExecutionId(1), OUT, 100, pattern(1, 100, 50), None).await.unwrap_err();
        assert!(full.is_disk_full() && full.is_transient(), "{full:?}");
        assert_eq!(read(&store, 1, 0, 1000).await, pattern(1, 0, 100));
        assert_eq!(size(&store, 1).await, 100);
    }
    grow(&store, 1, 100, 400, 50).await;
    store.sync(ExecutionId(1)).await.unwrap();
    let copy = copy_as_after_a_kill(directory.path());
    assert_eq!(read(&open(copy.path()), 1, 0, 1000).await, pattern(1, 0, 400));
}

#[tokio::test]
async fn a_piece_that_would_fill_the_disk_is_refused_before_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let figures = rustix::fs::statvfs(directory.path()).unwrap();
    let free = figures.f_bavail * figures.f_frsize;
    let reserve = (figures.f_blocks * figures.f_frsize / 20).min(free);
    let segments = |reserve| {
        let settings = OutputSettings { reserve, ..small() };
        Segments::open(directory.path(), settings, &BTreeMap::new()).unwrap()
    };
    assert!(segments(0).append(b"abc").is_ok());
    let refused = segments(reserve).check_space(free).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
    assert!(refused.to_string().contains("kept for the databases"), "{refused}");
}

#[tokio::test]
async fn a_failed_sync_takes_back_what_was_not_safe() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    grow(&store, 1, 0, 300, 10).await;
    store.sync(ExecutionId(1)).await.unwrap();
    grow(&store, 1, 300, 500, 10).await;
    grow(&store, 2, 0, 80, 10).await;
    store.faults.syncs.store(1, Ordering::SeqCst);
    let failed = store.sync(ExecutionId(1)).await.unwrap_err();
    assert!(failed.is_transient() && !failed.is_disk_full(), "{failed:?}");

    assert_eq!((size(&store, 1).await, size(&store, 2).await), (300, 0));
    assert_eq!(store.total_bytes(), 300);
    let gap =
        store.append(ExecutionId(1), OUT, 500, Bytes::from_static(b"x"), None).await.unwrap_err();
    assert!(matches!(gap, OutputError::Gap { have: 300, .. }));
    grow(&store, 1, 300, 600, 10).await;
    assert_eq!(store.sync(ExecutionId(1)).await.unwrap().stdout, 600);
    assert_eq!(segments(directory.path()).len(), 2, "the failed segment is not written again");
    let copy = copy_as_after_a_kill(directory.path());
    assert_eq!(read(&open(copy.path()), 1, 0, 1000).await, pattern(1, 0, 600));
}

#[tokio::test]
async fn an_index_that_cannot_be_written_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    grow(&store, 1, 0, 300, 10).await;
    let other = Connection::open_with_flags(
        directory.path().join("index.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
    )
    .unwrap();
    other.execute_batch("ALTER TABLE extents RENAME TO away").unwrap();
    let failed = store.sync(ExecutionId(1)).await.unwrap_err();
    assert!(matches!(failed, OutputError::Index(IndexError::Failed { .. })), "{failed:?}");
    assert_eq!(read(&store, 1, 0, 1000).await, pattern(1, 0, 300));

    other.execute_batch("ALTER TABLE away RENAME TO extents").unwrap();
    assert_eq!(store.sync(ExecutionId(1)).await.unwrap().stdout, 300);
    let copy = copy_as_after_a_kill(directory.path());
    assert_eq!(read(&open(copy.path()), 1, 0, 1000).await, pattern(1, 0, 300));
}

#[tokio::test]
async fn bytes_that_the_index_does_not_know_are_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    grow(&store, 1, 0, 300, 30).await;
    store.stop().await.unwrap();
    lengthen(directory.path(), "segment-00000001", 123);

    let store = open(directory.path());
    grow(&store, 1, 300, 330, 30).await;
    store.sync(ExecutionId(1)).await.unwrap();
    assert_eq!(read(&store, 1, 0, 1000).await, pattern(1, 0, 330));
    let length = fs::metadata(directory.path().join("segment-00000001")).unwrap().len();
    assert_eq!(length, 300 + 123 + 30);
}

#[tokio::test]
async fn what_is_missing_on_disk_is_not_promised() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    // Two streams take turns, so that each has bytes on both sides of the tear.
    for round in 0..30 {
        grow(&store, 1, round * 50, round * 50 + 50, 50).await;
        grow(&store, 2, round * 40, round * 40 + 40, 40).await;
    }
    store.stop().await.unwrap();
    shorten(directory.path(), "segment-00000002", 500);

    let store = open(directory.path());
    let (first, second) = (size(&store, 1).await, size(&store, 2).await);
    assert!((700..=850).contains(&first), "{first}");
    assert!((550..=700).contains(&second), "{second}");
    for (execution, have) in [(1, first), (2, second)] {
        let have = usize::try_from(have).unwrap();
        assert_eq!(read(&store, execution, 0, 9999).await, pattern(execution, 0, have));
        grow(&store, execution, have, 3000, 100).await;
        assert_eq!(read(&store, execution, 0, 9999).await, pattern(execution, 0, 3000));
    }
    assert_eq!(store.sync(ExecutionId(1)).await.unwrap().stdout, 3000);
    assert_eq!(store.total_bytes(), 6000);
    store.delete(vec![ExecutionId(1), ExecutionId(2)]).await.unwrap();
    assert_eq!(store.total_bytes(), 0);
}

#[tokio::test]
async fn a_lost_segment_takes_what_follows_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let settings = OutputSettings { limit_per_stream: 2000, ..small() };
    let store = OutputStore::open(directory.path(), settings).unwrap();
    grow(&store, 1, 0, 10_000, 100).await;
    grow(&store, 2, 0, 500, 100).await;
    store.stop().await.unwrap();
    let lost = segments(directory.path()).last().cloned().unwrap();
    fs::remove_file(directory.path().join(lost)).unwrap();

    let store = OutputStore::open(directory.path(), settings).unwrap();
    assert_eq!(size(&store, 2).await, 0);
    assert_eq!(size(&store, 1).await, 10_000);
    let found = store.read(ExecutionId(1), OUT, 5000, 10).await.unwrap();
    assert_eq!(found, Read::Hole { hole: Hole { from: 1000, to: 9000 }, size: 10_000 });

    store.stop().await.unwrap();
    for segment in segments(directory.path()) {
        fs::remove_file(directory.path().join(segment)).unwrap();
    }
    let store = OutputStore::open(directory.path(), settings).unwrap();
    assert_eq!(size(&store, 1).await, 0);
    assert_eq!(store.total_bytes(), 0);
}

#[tokio::test]
async fn a_lost_tail_leaves_the_stream_at_the_end_of_its_hole() {
    let directory = tempfile::tempdir().unwrap();
    let settings = OutputSettings { limit_per_stream: 2000, ..small() };
    let store = OutputStore::open(directory.path(), settings).unwrap();
    grow(&store, 1, 0, 10_000, 100).await;
    store.stop().await.unwrap();
    let segments = segments(directory.path());
    for segment in segments.iter().filter(|name| *name > &"segment-00000002".to_owned()) {
        fs::remove_file(directory.path().join(segment)).unwrap();
    }
    let store = OutputStore::open(directory.path(), settings).unwrap();
    assert_eq!(size(&store, 1).await, 9000);
    grow(&store, 1, 9000, 10_000, 100).await;
    assert_eq!(read(&store, 1, 9000, 9999).await, pattern(1, 9000, 1000));
}

#[tokio::test]
async fn segments_without_their_index_are_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append(&store, 1, 0, b"abc").await;
    store.stop().await.unwrap();
    drop(store);
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(directory.path().join(name));
    }
    let error = OutputStore::open(directory.path(), small()).unwrap_err();
    assert!(matches!(error, OutputError::IndexMissing { .. }), "{error:?}");
    assert_eq!(segments(directory.path()).len(), 1);
}

#[tokio::test]
async fn an_index_of_a_newer_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).stop().await.unwrap();
    let path = directory.path().join("index.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
    let index = Connection::open_with_flags(&path, flags).unwrap();
    index.pragma_update(None, "user_version", 99).unwrap();
    let error = OutputStore::open(directory.path(), small()).unwrap_err();
    assert!(matches!(error, OutputError::Index(IndexError::Newer { found: 99, .. })), "{error:?}");
}

#[tokio::test]
async fn segments_that_nothing_names_are_cleared_away_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    grow(&store, 1, 0, 3500, 100).await;
    let copy = copy_as_after_a_kill(directory.path());
    assert_eq!(segments(copy.path()).len(), 4);
    let after = open(copy.path());
    assert_eq!(segments(copy.path()), ["segment-00000004"]);
    grow(&after, 1, 0, 3500, 100).await;
    assert_eq!(read(&after, 1, 0, 9999).await, pattern(1, 0, 3500));
}
