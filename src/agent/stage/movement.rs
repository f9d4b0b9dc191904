//! Downloads and uploads of one execution.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::agent::cache::{Lease, ResourceCache};
use crate::agent::workdir::TaskDirs;
use crate::domain::task::TaskSpec;
use crate::domain::uri::{Uri, UriError};
use crate::storage::{self, Moved, Note, Transfer};

use super::error::StageError;
use super::inputs::{clear_folder, fetch_inputs};
use super::retry::Retry;

/// Addresses of one task that are worked on at once; each copies several files.
pub(super) const PARALLEL: usize = 4;

/// What an execution was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staged {
    /// Files in its input and resource folders.
    pub files: u64,
    /// Sizes of these files. How much of it had to be copied,
    /// [`Transfer::progress`] tells.
    pub bytes: u64,
    /// What its inputs name and could not be brought.
    pub notes: Vec<Note>,
}

/// What was taken from an execution.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uploaded {
    /// Files that are now where they should be.
    pub files: u64,
    /// Sizes of these files.
    pub bytes: u64,
    /// What the command left and could not be sent.
    pub notes: Vec<Note>,
}

/// Brings the inputs and resources of a task, in parallel. What fails and may
/// pass is tried again with growing waits.
///
/// Afterwards `input` and `resource` hold what the task names and nothing else.
/// An input that is there already and has not changed is left alone: so this
/// goes on after an interruption, and follows an edit of the task.
pub async fn download(
    spec: &TaskSpec,
    dirs: &TaskDirs,
    cache: &ResourceCache,
    transfer: &Transfer,
) -> Result<Staged, StageError> {
    download_with(Retry::STANDARD, spec, dirs, cache, transfer).await
}

/// Sends the contents of `output` to the folder that the address names, with a
/// final slash or without. One try, which leaves out what is there already:
/// whoever has patience calls it again.
pub async fn upload(
    dirs: &TaskDirs,
    uri: &str,
    transfer: &Transfer,
) -> Result<Uploaded, StageError> {
    let uri: Uri = uri.parse()?;
    let Moved { files, bytes, notes } = storage::send(&dirs.output(), &uri, transfer).await?;
    Ok(Uploaded { files, bytes, notes })
}

pub(super) async fn download_with(
    retry: Retry,
    spec: &TaskSpec,
    dirs: &TaskDirs,
    cache: &ResourceCache,
    transfer: &Transfer,
) -> Result<Staged, StageError> {
    let (input, resource, unpacked) = (dirs.input(), dirs.resource(), dirs.unpacked());
    let inputs = parse_all(&spec.input)?;
    let resources = parse_all(&spec.resource)?;
    let (fetched, leases) = try_join(
        retry.run(&transfer.cancel, || fetch_inputs(&inputs, &input, &unpacked, transfer)),
        acquire_resources(retry, &resources, cache, transfer),
    )
    .await?;
    let linked = link_resources(leases, &resource, transfer).await?;
    Ok(Staged {
        files: fetched.files + linked.files,
        bytes: fetched.bytes + linked.bytes,
        notes: fetched.notes,
    })
}

/// Runs on a thread that may block.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(StageError::Internal { reason: error.to_string() }))
}

fn parse_all(uris: &[String]) -> Result<Vec<Uri>, UriError> {
    uris.iter().map(|uri| uri.parse()).collect()
}

async fn acquire_resources(
    retry: Retry,
    uris: &[Uri],
    cache: &ResourceCache,
    transfer: &Transfer,
) -> Result<Vec<Lease>, StageError> {
    let acquire_all: Vec<_> = uris
        .iter()
        .map(|uri| {
            retry.run(&transfer.cancel, async move || Ok(cache.acquire(uri, transfer).await?))
        })
        .collect();
    stream::iter(acquire_all).buffered(PARALLEL).try_collect().await
}

/// Shows the resources to the task, in their order: a later one replaces an
/// earlier one of the same name.
async fn link_resources(
    leases: Vec<Lease>,
    folder: &Path,
    transfer: &Transfer,
) -> Result<Moved, StageError> {
    let (folder, cancel) = (folder.to_owned(), transfer.cancel.clone());
    run_blocking(move || {
        clear_folder(&folder, |_| None)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))
            .map_err(StageError::folder("set the permissions of", &folder))?;
        let mut linked = Moved::default();
        for lease in &leases {
            lease.link_into(&folder, &cancel)?;
            linked.files += lease.listing().file_count();
            linked.bytes += lease.listing().bytes();
        }
        Ok(linked)
    })
    .await
}
