//! Brings all files of a listing, several at a time.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::super::error::StorageError;
use super::super::listing::{EntryKind, Listing};
use super::super::transfer::{MAX_FAILURES, Moved, Placement, Transfer, lasting_first};
use super::backend::{Backend, Remote};
use super::receive::{Receive, receive, remove_outdated};

/// Of files beyond this size only a few are on their way at once: parts of them
/// are held in memory.
const LARGE: u64 = 4 << 20;
const LARGE_AT_ONCE: usize = 4;

/// Brings what was listed. All folders are there already.
pub(in crate::storage) async fn fetch_remote(
    listing: &Listing,
    remote: &Remote,
    target: &Path,
    placement: Placement,
    transfer: &Transfer,
) -> Result<Moved, StorageError> {
    let large = Arc::new(Semaphore::new(LARGE_AT_ONCE));
    let jobs: Vec<Receive> = listing
        .entries()
        .filter_map(|(name, entry)| match (entry.kind, &entry.remote) {
            (EntryKind::File(facts), Some(told)) => Some(Receive {
                uri: listing.uri().clone(),
                path: entry.source.to_string_lossy().into_owned(),
                facts,
                remote: told.clone(),
                target: target.join(name),
                placement,
            }),
            _ => None,
        })
        .collect();
    let known = jobs.clone();
    // A thread that broke off removed less.
    let _ = tokio::task::spawn_blocking(move || remove_outdated(&known)).await;
    let transfers = jobs.into_iter().map(|job| {
        let large = Arc::clone(&large);
        async move {
            let is_large = job.facts.bytes > LARGE || !job.remote.has_size;
            let _turn = if is_large { large.acquire().await.ok() } else { None };
            receive(&job, remote, transfer).await.map(|()| job.facts.bytes)
        }
    });
    let mut results = stream::iter(transfers).buffer_unordered(remote.parallel());
    let (mut moved, mut failures) = (Moved::default(), Vec::new());
    while let Some(result) = results.next().await {
        match result {
            Ok(bytes) => {
                moved.files += 1;
                moved.bytes += bytes;
            }
            Err(error) => failures.push(error),
        }
        if failures.len() >= MAX_FAILURES {
            break;
        }
    }
    lasting_first(failures).map_or(Ok(moved), Err)
}

impl Remote {
    /// Files that are worked on at once. File servers limit the connections of
    /// one client.
    pub(super) const fn parallel(&self) -> usize {
        match self.backend {
            Backend::Object(_) => 16,
            Backend::Http(_) | Backend::Webdav(_) | Backend::Sftp(_) => 8,
            Backend::Ftp(_) | Backend::Rclone(_) | Backend::Run(_) => 4,
        }
    }
}
