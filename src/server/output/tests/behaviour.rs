//! What callers rely on.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::super::{Hole, OutputError};
use super::*;
use crate::domain::execution::OutputSizes;

#[tokio::test]
async fn what_was_appended_is_read_at_once_from_any_byte() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(append(&store, 1, 0, b"hello ").await, 6);
    assert_eq!(append(&store, 1, 6, b"world").await, 11);
    store.append(ExecutionId(1), ERR, 0, Bytes::from_static(b"oh"), None).await.unwrap();

    assert_eq!(read(&store, 1, 0, 100).await, "hello world");
    assert_eq!(read(&store, 1, 4, 3).await, "o w");
    assert_eq!(read(&store, 1, 11, 3).await, "");
    assert_eq!(read(&store, 1, 99, 3).await, "");
    assert_eq!(read(&store, 2, 0, 3).await, "");
    let sizes = OutputSizes { stdout: 11, stderr: 2 };
    assert_eq!(store.sizes(ExecutionId(1)).await.unwrap(), sizes);
    let many = store.sizes_of(vec![ExecutionId(2), ExecutionId(1)]).await.unwrap();
    assert_eq!(many, [OutputSizes::default(), sizes]);
    assert_eq!(store.total_bytes(), 13);
}

#[tokio::test]
async fn repeated_bytes_are_dropped_and_gaps_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append(&store, 1, 0, b"abcdef").await;
    assert_eq!(append(&store, 1, 2, b"cd").await, 6);
    assert_eq!(append(&store, 1, 4, b"efgh").await, 8);
    assert_eq!(append(&store, 1, 8, b"").await, 8);

    let gap =
        store.append(ExecutionId(1), OUT, 9, Bytes::from_static(b"x"), None).await.unwrap_err();
    assert!(matches!(gap, OutputError::Gap { offset: 9, have: 8, .. }), "{gap:?}");
    assert!(!gap.is_transient());
    let gap = store.append(ExecutionId(2), OUT, u64::MAX, Bytes::new(), None).await.unwrap_err();
    assert!(matches!(gap, OutputError::Gap { have: 0, .. }), "{gap:?}");
    assert_eq!(read(&store, 1, 0, 100).await, "abcdefgh");
}

#[tokio::test]
async fn appends_that_wait_together_keep_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let pieces = (0..100u64).map(|piece| {
        let store = &store;
        async move {
            append(store, 1, piece * 3, &pattern(1, usize::try_from(piece).unwrap() * 3, 3)).await
        }
    });
    join_all(pieces).await;
    assert_eq!(read(&store, 1, 0, 1000).await, pattern(1, 0, 300));
}

#[tokio::test]
async fn a_sync_survives_a_kill_and_the_rest_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    grow(&store, 1, 0, 700, 10).await;
    assert_eq!(store.sync(ExecutionId(1)).await.unwrap().stdout, 700);
    grow(&store, 1, 700, 1500, 10).await;
    grow(&store, 2, 0, 50, 10).await;

    let copy = copy_as_after_a_kill(directory.path());
    let after = open(copy.path());
    assert_eq!(after.sizes(ExecutionId(1)).await.unwrap().stdout, 700);
    assert_eq!(after.sizes(ExecutionId(2)).await.unwrap().stdout, 0);
    grow(&after, 1, 600, 2000, 100).await;
    assert_eq!(read(&after, 1, 0, 5000).await, pattern(1, 0, 2000));
}

#[tokio::test]
async fn written_bytes_are_indexed_without_being_asked_after_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let settings = OutputSettings { flush_after: Duration::from_millis(1), ..small() };
    let store = OutputStore::open(directory.path(), settings).unwrap();
    append(&store, 1, 0, b"abc").await;
    loop {
        let copy = copy_as_after_a_kill(directory.path());
        if open(copy.path()).sizes(ExecutionId(1)).await.unwrap().stdout == 3 {
            break;
        }
    }
}

#[tokio::test]
async fn stopping_keeps_everything_and_reading_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    grow(&store, 1, 0, 5000, 333).await;
    let waiting = store.wait_for_more(ExecutionId(1), OUT, 5000);
    store.stop().await.unwrap();
    waiting.await.unwrap();
    store.wait_for_more(ExecutionId(1), OUT, 5000).await.unwrap();
    store.stop().await.unwrap();

    let refused = store.append(ExecutionId(1), OUT, 5000, Bytes::from_static(b"x"), None).await;
    assert!(matches!(refused, Err(OutputError::Stopped)));
    assert_eq!(read(&store, 1, 10, 9000).await, pattern(1, 10, 4990));
    let again = open(directory.path());
    assert_eq!(read(&again, 1, 0, 9000).await, pattern(1, 0, 5000));
    assert_eq!(again.total_bytes(), 5000);
}

#[tokio::test]
async fn above_the_limit_head_and_tail_stay_and_the_hole_says_where_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let settings = OutputSettings { limit_per_stream: 1000, ..small() };
    let store = OutputStore::open(directory.path(), settings).unwrap();
    grow(&store, 1, 0, 1000, 90).await;
    assert_eq!(read(&store, 1, 0, 5000).await, pattern(1, 0, 1000));
    grow(&store, 1, 1000, 20_000, 90).await;

    for synced in [false, true] {
        assert_eq!(read(&store, 1, 0, 99_999).await, pattern(1, 0, 500));
        let found = store.read(ExecutionId(1), OUT, 500, 10).await.unwrap();
        let hole = Hole { from: 500, to: 19_500 };
        assert_eq!(found, Read::Hole { hole, size: 20_000 });
        assert_eq!(read(&store, 1, 19_500, 99_999).await, pattern(1, 19_500, 500));
        if !synced {
            assert_eq!(store.sync(ExecutionId(1)).await.unwrap().stdout, 20_000);
        }
    }
    let longest = settings.longest_extent;
    assert!(store.total_bytes() <= 1000 + 2 * longest, "{}", store.total_bytes());
    assert!(segments(directory.path()).len() <= 3, "{:?}", segments(directory.path()));
}

#[tokio::test]
async fn deleting_gives_the_segments_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for execution in 1..=4 {
        grow(&store, execution, 0, 3000, 100).await;
    }
    store.sync(ExecutionId(1)).await.unwrap();
    assert_eq!(segments(directory.path()).len(), 12);
    append(&store, 5, 0, b"never synced").await;

    let waiting = store.wait_for_more(ExecutionId(2), OUT, 3000);
    store
        .delete(vec![ExecutionId(2), ExecutionId(3), ExecutionId(5), ExecutionId(77)])
        .await
        .unwrap();
    waiting.await.unwrap();
    assert_eq!(segments(directory.path()).len(), 7);
    assert_eq!(store.total_bytes(), 6000);
    for gone in [2, 3, 5] {
        assert_eq!(store.sizes(ExecutionId(gone)).await.unwrap(), OutputSizes::default());
        assert_eq!(read(&store, gone, 0, 10).await, "");
    }
    assert_eq!(read(&store, 4, 0, 5000).await, pattern(4, 0, 3000));

    drop(store);
    let store = open(directory.path());
    store.delete(vec![ExecutionId(1), ExecutionId(4)]).await.unwrap();
    assert_eq!(store.total_bytes(), 0);
    assert!(segments(directory.path()).len() <= 1);
}

#[tokio::test]
async fn one_who_waits_is_told_of_bytes_and_of_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append(&store, 1, 0, b"abc").await;
    store.wait_for_more(ExecutionId(1), OUT, 2).await.unwrap();

    let bytes = store.wait_for_more(ExecutionId(1), OUT, 3);
    let other_stream = store.wait_for_more(ExecutionId(1), ERR, 0);
    append(&store, 1, 3, b"d").await;
    bytes.await.unwrap();
    store.complete(ExecutionId(1));
    other_stream.await.unwrap();

    let silent = store.wait_for_more(ExecutionId(2), OUT, 0);
    store.complete(ExecutionId(2));
    silent.await.unwrap();
    drop(store.wait_for_more(ExecutionId(3), OUT, 0));
    assert_eq!(store.followers(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_executions_are_written_and_followed_at_once() {
    const SIZE: usize = 4000;
    let directory = tempfile::tempdir().unwrap();
    let settings =
        OutputSettings { segment_size: 100_000, queue_size: 10_000, batch_size: 5000, ..small() };
    let store = OutputStore::open(directory.path(), settings).unwrap();
    let mut work = JoinSet::new();
    for execution in 1..=200u64 {
        let writer = store.clone();
        work.spawn(async move {
            grow(&writer, execution, 0, SIZE, 97 + usize::try_from(execution).unwrap()).await;
            let synced = writer.sync(ExecutionId(execution)).await.unwrap();
            assert_eq!(synced.stdout, SIZE as u64);
            writer.complete(ExecutionId(execution));
        });
        let reader = store.clone();
        work.spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < SIZE {
                let at = seen.len() as u64;
                reader.wait_for_more(ExecutionId(execution), OUT, at).await.unwrap();
                seen.extend_from_slice(&read(&reader, execution, at, 500).await);
            }
            assert_eq!(seen, pattern(execution, 0, SIZE));
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.total_bytes(), 200 * SIZE as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_of_a_stream_that_loses_its_middle_sees_right_bytes_or_a_hole() {
    let directory = tempfile::tempdir().unwrap();
    let settings = OutputSettings { limit_per_stream: 4000, flush_size: 3000, ..small() };
    let store = OutputStore::open(directory.path(), settings).unwrap();
    let reader = store.clone();
    let reading = tokio::spawn(async move {
        let mut at = 0;
        while at < 200_000 {
            match reader.read(ExecutionId(1), OUT, at, 700).await.unwrap() {
                Read::Bytes { bytes, .. } if bytes.is_empty() => {
                    reader.wait_for_more(ExecutionId(1), OUT, at).await.unwrap();
                }
                Read::Bytes { bytes, .. } => {
                    let from = usize::try_from(at).unwrap();
                    assert_eq!(bytes, pattern(1, from, bytes.len()));
                    at += bytes.len() as u64;
                }
                Read::Hole { hole, .. } => {
                    assert!(hole.to > at);
                    at = hole.to;
                }
            }
        }
    });
    grow(&store, 1, 0, 200_000, 170).await;
    reading.await.unwrap();
}

#[tokio::test]
async fn without_output_a_sync_needs_no_writer() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.stop().await.unwrap();
    assert_eq!(store.sync(ExecutionId(7)).await.unwrap(), OutputSizes::default());
    let many = (1..=1000).map(ExecutionId).collect();
    assert_eq!(store.sync_all(many).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn more_than_the_queue_holds_waits_and_goes_through() {
    let directory = tempfile::tempdir().unwrap();
    let settings = OutputSettings { queue_size: 1000, batch_size: 500, ..small() };
    let store = Arc::new(OutputStore::open(directory.path(), settings).unwrap());
    let large = pattern(1, 0, 10_000);
    let appends = (1..=20).map(|execution| append(&store, execution, 0, &large));
    assert!(join_all(appends).await.into_iter().all(|size| size == 10_000));
    assert_eq!(read(&store, 20, 0, 10_000).await, large);
}
