//! The database: one writer thread, readers that never block it.
//!
//! `rusqlite` appears in here (and in the output store's index) and nowhere
//! else. One file per table holds all SQL that touches it.

mod audit;
mod batch;
mod cached;
pub mod check;
mod connection;
mod execution;
mod job;
mod load;
mod meta;
mod migrations;
mod origin;
mod original;
mod reader;
mod recruiter;
mod reply;
mod requirement;
mod tag;
mod task;
mod task_cursor;
mod task_failure;
mod task_filter;
mod task_list;
mod task_view;
mod token;
mod whole_list;
mod worker;
mod writer;

#[cfg(test)]
pub(super) mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use thiserror::Error;

use crate::domain::{Now, StoreId};

use super::engine::state::{Policy, State};

pub use execution::OwnLimit;
pub use load::ReadTask;
pub use origin::Origin;
pub use original::{Original, OriginalExecution, OriginalTask, OriginalWorker, read_original};
pub use reader::{EngineReader, Readers};
pub use reply::StoredReply;
pub use task_cursor::{CursorError, Direction, Order, Position};
pub use task_filter::TaskFilter;
pub use task_list::{FoundTasks, TaskQuery};
pub use whole_list::{Deleted, PlainExecution, PlainFilter, PlainTask, WorkerCount};
pub use writer::{CommitDone, CommitError, CommitJob, SteppedWriter, Writer};

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("the database {path} has schema {found}, this scitq knows {known}: it was written by a newer one", path = .path.display())]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    #[error("cannot copy the database to {copy}", copy = .copy.display())]
    Copy { copy: PathBuf, source: rusqlite::Error },
    #[error("cannot replace the copy {copy} of an earlier try", copy = .copy.display())]
    OldCopy { copy: PathBuf, source: std::io::Error },
    #[error("the database holds {value:?} as {what}, which is no such thing")]
    Malformed { what: &'static str, value: String },
    #[error("cannot examine the database {path}", path = .path.display())]
    Examine { path: PathBuf, source: std::io::Error },
    #[error("cannot start the writer thread")]
    Thread(#[source] std::io::Error),
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// An open database.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    origin: Origin,
    pub readers: Arc<Readers>,
}

impl Store {
    /// Opens the database at `path`, makes it if there is none, and starts its writer.
    pub fn open(path: &Path, new_id: &StoreId) -> Result<(Self, Writer), StoreError> {
        let (store, connection) = Self::prepare(path, new_id)?;
        let writer = Writer::start(connection, path)?;
        Ok((store, writer))
    }

    /// The same with a writer that works when it is told to, and that leaves it
    /// to the system when bytes reach the disk: for simulations, in which only
    /// processes die.
    pub fn open_stepped(
        path: &Path,
        new_id: &StoreId,
    ) -> Result<(Self, Writer, SteppedWriter), StoreError> {
        let (store, connection) = Self::prepare(path, new_id)?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        let (writer, stepped) = Writer::stepped(connection, path)?;
        Ok((store, writer, stepped))
    }

    fn prepare(path: &Path, new_id: &StoreId) -> Result<(Self, Connection), StoreError> {
        let mut connection = connection::open_writer(path)?;
        migrations::migrate(&mut connection, path)?;
        meta::initialise(&connection, new_id)?;
        let origin = origin::note(&mut connection, path)?;
        let readers = Arc::new(Readers::new(path));
        Ok((Self { path: path.to_owned(), origin, readers }, connection))
    }

    /// Whether it was opened where it was closed.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// Everything that may still change, as the last commit left it.
    pub fn load(&self, policy: Policy, now: Now) -> Result<State, StoreError> {
        load::load(&connection::open_reader(&self.path)?, policy, now)
    }

    /// A connection for the engine's own point reads.
    pub fn engine_reader(&self) -> Result<EngineReader, StoreError> {
        Ok(EngineReader::new(connection::open_reader(&self.path)?))
    }

    /// Writes the database as the last commit left it to a new file. Blocks, and
    /// no commit waits for it.
    pub fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        connection::copy(&self.path, to)
            .map_err(|source| StoreError::Copy { copy: to.to_owned(), source })
    }

    /// Size of the database with its log, bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let wal = writer::wal_path(&self.path);
        [self.path.as_path(), wal.as_path()]
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum()
    }
}

/// A word of the database as the enum that it names.
fn word<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Malformed { what, value: text.to_owned() })
}

/// A value that the database keeps as JSON.
fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(
    what: &'static str,
    value: String,
) -> Result<T, StoreError> {
    serde_json::from_str(&value).map_err(|_| StoreError::Malformed { what, value })
}

/// A count as SQLite stores it.
fn count_to_sql(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count_from_sql(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
