//! Sums over the contents of files.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// So much is read at once.
const PIECE: usize = 1 << 20;

/// Sums of more files than these are not remembered.
const MOST_KNOWN: usize = 100_000;

/// A state of a file: its device, its number there, its size, and its date in
/// seconds and nanoseconds.
type FileState = (u64, u64, u64, i64, i64);

/// Sums of files that were read before: a resource is summed up once for all
/// of its tasks. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct KnownSums(Arc<Mutex<HashMap<FileState, [u8; 32]>>>);

impl KnownSums {
    /// The SHA-256 sum of a file that others may have asked for. Blocks.
    pub(super) fn find(&self, path: &Path, cancel: &CancellationToken) -> io::Result<[u8; 32]> {
        let state = state_of(&path.metadata()?);
        if let Some(sum) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&state) {
            return Ok(*sum);
        }
        let sum = sha256_of(path, cancel)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(state, sum);
        Ok(sum)
    }
}

/// Blocks.
pub(super) fn sha256_of(path: &Path, cancel: &CancellationToken) -> io::Result<[u8; 32]> {
    sum_of::<Sha256>(path, cancel).map(Into::into)
}

/// Blocks.
pub(super) fn md5_of(path: &Path, cancel: &CancellationToken) -> io::Result<[u8; 16]> {
    sum_of::<md5::Md5>(path, cancel).map(Into::into)
}

fn sum_of<D: Digest>(
    path: &Path,
    cancel: &CancellationToken,
) -> io::Result<sha2::digest::Output<D>> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE];
    let mut sum = D::new();
    loop {
        if cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok(sum.finalize());
        }
        sum.update(piece.get(..count).unwrap_or_default());
    }
}

fn state_of(metadata: &Metadata) -> FileState {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_summed_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let (known, cancel) = (KnownSums::default(), CancellationToken::new());
        std::fs::write(&path, "a").unwrap();
        let first = known.find(&path, &cancel).unwrap();
        assert_eq!(first, <[u8; 32]>::from(Sha256::digest("a")));
        std::fs::write(&path, "bc").unwrap();
        assert_eq!(known.find(&path, &cancel).unwrap(), <[u8; 32]>::from(Sha256::digest("bc")));
        cancel.cancel();
        std::fs::write(&path, "def").unwrap();
        assert_eq!(known.find(&path, &cancel).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }
}
