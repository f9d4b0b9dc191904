//! Why the data of an execution could not be moved.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::uri::UriError;
use crate::storage::StorageError;

#[derive(Debug, Error)]
pub enum StageError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the inputs `{first}` and `{second}` both have a `{name}`")]
    Collision { first: String, second: String, name: PathBuf },
    #[error("cannot {action} `{path}`")]
    Folder { action: &'static str, path: PathBuf, source: io::Error },
    #[error("a thread that moved data broke off: {reason}")]
    Internal { reason: String },
}

impl StageError {
    /// Whether the same may go well in a while without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_transient())
    }

    /// Whether it ended because it was told to.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Cancelled { .. }))
    }

    /// The function that turns an I/O error on one of our folders into ours.
    pub(super) fn folder(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Folder { action, path, source }
    }
}

impl From<UriError> for StageError {
    fn from(error: UriError) -> Self {
        Self::Storage(error.into())
    }
}
