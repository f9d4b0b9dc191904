//! What can go wrong with output.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::index::IndexError;
use crate::domain::ExecutionId;
use crate::domain::execution::Stream;

/// Why output could not be kept or read. One failure of the disk is told to
/// all whose bytes were in the same write, hence the shared causes.
#[derive(Debug, Clone, Error)]
pub enum OutputError {
    /// Bytes in between are missing: send on from `have`.
    #[error("{stream} of execution {execution} goes on at byte {have}, not at {offset}")]
    Gap { execution: ExecutionId, stream: Stream, offset: u64, have: u64 },
    #[error("cannot {action} `{path}`")]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index was lost and the segments were not.
    #[error(
        "`{directory}` has output segments but no `index.db`: put the index back, or move the \
         segments away to start without old output"
    )]
    IndexMissing { directory: PathBuf },
    /// The index names bytes that no segment has.
    #[error("byte {offset} of {stream} of execution {execution} is missing on disk")]
    Damaged { execution: ExecutionId, stream: Stream, offset: u64 },
    #[error("the output store has stopped")]
    Stopped,
}

impl OutputError {
    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the disk, or the user's share of it, is full.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::File { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge
            ),
            Self::Index(error) => error.is_disk_full(),
            _ => false,
        }
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Index(IndexError::Failed { .. }))
    }
}
