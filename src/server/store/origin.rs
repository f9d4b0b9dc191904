//! Tells a database that was copied or restored from one that was only closed
//! and opened again.
//!
//! A copy may be older than what was given out since. It therefore begins
//! another epoch, and skips ids that the original may have given out meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;

/// Where a database comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is new, or the file that was closed last.
    Here,
    /// Another file than the one that was closed last.
    Copy,
}

/// So many tasks and executions may have been made since the copy was.
const SKIPPED_IDS: u64 = 1_000_000;

/// Says where the database comes from, and writes down what a copy has to do
/// otherwise from now on.
pub(super) fn note(connection: &mut Connection, path: &Path) -> Result<Origin, StoreError> {
    let file =
        identity(path).map_err(|source| StoreError::Examine { path: path.to_owned(), source })?;
    let transaction = connection.transaction()?;
    let before: Option<String> = transaction
        .query_row("SELECT value FROM meta WHERE key = 'file'", [], |row| row.get(0))
        .optional()?;
    if before.as_deref() == Some(&*file) {
        return Ok(Origin::Here);
    }
    transaction
        .execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('file', ?1)", [file.as_str()])?;
    if before.is_some() {
        let mut add = transaction.prepare("UPDATE meta SET value = value + ?2 WHERE key = ?1")?;
        for (key, more) in
            [("epoch", 1), ("next_task", SKIPPED_IDS), ("next_execution", SKIPPED_IDS)]
        {
            add.execute((key, i64::try_from(more).unwrap_or(i64::MAX)))?;
        }
    }
    transaction.commit()?;
    Ok(if before.is_some() { Origin::Copy } else { Origin::Here })
}

/// Names a file as long as it is not copied: its number, and when it was made
/// where the file system tells. Numbers are used again.
fn identity(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    let made = metadata.created().ok().and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let made = made.unwrap_or_default().as_micros();
    Ok(format!("{}-{made}", metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;
    use crate::domain::{Epoch, Monotonic, Now, StoreId, Timestamp};
    use crate::server::engine::state::Policy;

    #[test]
    fn a_copy_begins_another_epoch_and_skips_ids() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scitq.db");
        let copy = directory.path().join("copy.db");
        let open = |path: &Path| {
            let (store, writer) = Store::open(path, &StoreId("store".to_owned())).unwrap();
            drop(writer);
            let now = Now { wall: Timestamp(0), monotonic: Monotonic(std::time::Duration::ZERO) };
            let state = store.load(Policy::default(), now).unwrap();
            (store.origin(), state.epoch, state.next.task.0, state.next.execution.0)
        };
        assert_eq!(open(&path), (Origin::Here, Epoch(1), 1, 1));
        assert_eq!(open(&path), (Origin::Here, Epoch(1), 1, 1));
        fs::copy(&path, &copy).unwrap();
        assert_eq!(open(&copy), (Origin::Copy, Epoch(2), 1_000_001, 1_000_001));
        assert_eq!(open(&copy), (Origin::Here, Epoch(2), 1_000_001, 1_000_001));
        assert_eq!(open(&path), (Origin::Here, Epoch(1), 1, 1));
    }
}
