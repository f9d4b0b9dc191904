//! Backups: everything that a server knows, in one archive.
//!
//! A backup is taken while the server works. The database is copied first, as
//! the last commit left it; then the index of the output, which by then has all
//! that the database counts on; then the segments, of which the index says what
//! is valid. The copies are made beside the data and leave it as it is.
//!
//! An archive has a manifest in front and a mark at its end, without which it is
//! not taken back: a transfer that was cut short is no backup.

mod restore;
mod send;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use std::io;
use std::path::{Path, PathBuf};

use super::data_dir::DataDirError;
use super::output::OutputError;
use super::store::StoreError;
use crate::domain::{Epoch, StoreId, Timestamp};

pub use restore::restore;
pub use send::{Snapshot, clear_leftovers};

/// First entry of an archive.
const MANIFEST: &str = "scitq-backup.json";
/// Last entry of an archive.
const END: &str = "scitq-backup.end";
/// The database within an archive.
const DATABASE: &str = "scitq.db";
/// Folder of the output within an archive.
const OUTPUT: &str = "output";
/// Files beside the database that are in an archive where the server has them.
const CERTIFICATE: [&str; 2] = ["tls.crt", "tls.key"];
/// Version of the form of archives.
const FORMAT: u32 = 1;

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The scitq that made it.
    pub version: String,
    pub store: StoreId,
    pub epoch: Epoch,
    pub made_at: Timestamp,
}

/// Why a backup could not be made or taken back.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error("cannot copy the database")]
    Database(#[source] StoreError),
    #[error("cannot copy the index of the output")]
    Output(#[source] OutputError),
    #[error("the copies need {needed} bytes beside the data, and {free} are free")]
    NoRoom { needed: u64, free: u64 },
    #[error("cannot {action} `{path}`", path = .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("`{path}` is no backup of scitq: {reason}", path = .path.display())]
    NotABackup { path: PathBuf, reason: String },
    #[error("`{path}` was made in form {found}, and this scitq knows {FORMAT}", path = .path.display())]
    OtherFormat { path: PathBuf, found: u32 },
    #[error("`{path}` ends too early: it is only a part of a backup", path = .path.display())]
    CutShort { path: PathBuf },
    #[error("`{path}` has a database already", path = .path.display())]
    NotEmpty { path: PathBuf },
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

impl BackupError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

#[cfg(test)]
mod tests;
