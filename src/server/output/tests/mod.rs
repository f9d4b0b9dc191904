//! The output store on real files.

mod behaviour;
mod faults;
mod model;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::{OutputSettings, OutputStore, Read};
use crate::domain::ExecutionId;
use crate::domain::execution::Stream;

const OUT: Stream = Stream::Stdout;
const ERR: Stream = Stream::Stderr;

/// Small segments, and no sync that nobody asked for.
fn small() -> OutputSettings {
    OutputSettings {
        segment_size: 1000,
        longest_extent: 64,
        flush_after: Duration::from_hours(1),
        ..OutputSettings::new(1 << 20)
    }
}

fn open(directory: &Path) -> OutputStore {
    OutputStore::open(directory, small()).unwrap()
}

/// What the disk has when the server is killed at this moment.
fn copy_as_after_a_kill(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn segments(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("segment-"));
    names.sort();
    names
}

/// Different bytes for different places, so that mixed-up ones are seen.
fn pattern(execution: u64, from: usize, length: usize) -> Bytes {
    let byte = |at: usize| {
        u8::try_from((at.wrapping_mul(31) + usize::try_from(execution).unwrap() * 7) % 251).unwrap()
    };
    (from..from + length).map(byte).collect()
}

async fn append(store: &OutputStore, execution: u64, offset: u64, bytes: &[u8]) -> u64 {
    let bytes = Bytes::copy_from_slice(bytes);
    store.append(ExecutionId(execution), OUT, offset, bytes, None).await.unwrap()
}

/// Appends from `from` on in pieces until the stream has `to` bytes.
async fn grow(store: &OutputStore, execution: u64, from: usize, to: usize, piece: usize) {
    for at in (from..to).step_by(piece) {
        let bytes = pattern(execution, at, piece.min(to - at));
        append(store, execution, at as u64, &bytes).await;
    }
}

/// The bytes from `offset` on, which must be no hole.
async fn read(store: &OutputStore, execution: u64, offset: u64, limit: u64) -> Bytes {
    match store.read(ExecutionId(execution), OUT, offset, limit).await.unwrap() {
        Read::Bytes { offset: at, bytes, .. } => {
            assert_eq!(at, offset);
            bytes
        }
        Read::Hole { hole, .. } => panic!("byte {offset} is in {hole:?}"),
    }
}
