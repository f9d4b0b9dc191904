//! A local file that is sent away, piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use md5::{Digest, Md5};

use super::super::limit::RateLimit;
use super::error::{RemoteError, Result};

/// A file to be sent.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Source {
    pub path: PathBuf,
    /// Its size when it was listed.
    pub bytes: u64,
    /// How fast it may be sent.
    pub limit: RateLimit,
}

/// Reads a [`Source`] on threads that may block.
pub(super) struct Pieces {
    state: Option<State>,
    bytes_left: u64,
    limit: RateLimit,
}

struct State {
    file: File,
    /// None where nobody asks for it.
    sum: Option<Md5>,
}

impl Source {
    pub(super) async fn open(&self) -> Result<Pieces> {
        self.open_with(None, self.limit.clone()).await
    }

    /// The same, with a sum of what is read.
    pub(super) async fn open_summed(&self) -> Result<Pieces> {
        self.open_with(Some(Md5::new()), self.limit.clone()).await
    }

    /// MD5 sum of the content.
    pub(super) async fn md5(&self) -> Result<[u8; 16]> {
        let mut pieces = self.open_with(Some(Md5::new()), RateLimit::default()).await?;
        while pieces.next(1 << 20).await?.is_some() {}
        Ok(pieces.md5().unwrap_or_default())
    }

    async fn open_with(&self, sum: Option<Md5>, limit: RateLimit) -> Result<Pieces> {
        let path = self.path.clone();
        let file = blocking(&self.path, move || File::open(path)).await?;
        Ok(Pieces { state: Some(State { file, sum }), bytes_left: self.bytes, limit })
    }
}

impl Pieces {
    /// The next piece of at most so many bytes; none at the end. A file that is
    /// shorter than it was is an error.
    pub(super) async fn next(&mut self, size: usize) -> Result<Option<Bytes>> {
        let wanted = usize::try_from(self.bytes_left).unwrap_or(usize::MAX).min(size);
        if wanted == 0 {
            return Ok(None);
        }
        let Some(mut state) = self.state.take() else { return Err(RemoteError::changed()) };
        let read = move || -> io::Result<(State, Vec<u8>)> {
            let mut piece = vec![0; wanted];
            state.file.read_exact(&mut piece)?;
            if let Some(sum) = &mut state.sum {
                sum.update(&piece);
            }
            Ok((state, piece))
        };
        let (state, piece) = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(RemoteError::changed());
            }
            Ok(Err(error)) => return Err(RemoteError::of_io(&error)),
            Err(error) => return Err(RemoteError::lasting(error.to_string())),
        };
        self.state = Some(state);
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes_left -= length;
        self.limit.pass(length).await;
        Ok(Some(piece.into()))
    }

    /// MD5 sum of what was read, if it was to be summed.
    pub(super) fn md5(self) -> Option<[u8; 16]> {
        Some(self.state?.sum?.finalize().into())
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            Err(RemoteError::lasting(format!("cannot read `{}`: {error}", path.display())))
        }
        Err(error) => Err(RemoteError::lasting(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::RemoteErrorKind;
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_to_the_size_that_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "0123456789").unwrap();
        let source = Source { path: path.clone(), bytes: 9, limit: RateLimit::default() };
        let mut pieces = source.open_summed().await.unwrap();
        assert_eq!(pieces.next(4).await.unwrap().unwrap(), "0123");
        assert_eq!(pieces.next(100).await.unwrap().unwrap(), "45678");
        assert_eq!(pieces.next(4).await.unwrap(), None);
        assert_eq!(pieces.md5(), Some(Md5::digest("012345678").into()));
        let error =
            Source { path, bytes: 11, limit: RateLimit::default() }.md5().await.unwrap_err();
        assert_eq!(error.kind, RemoteErrorKind::Changed);
    }
}
