//! Outputs that are taken over from another execution, and what tells that
//! they are still what they were.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::agent::fsm::{Reuse, ReusePlace};
use crate::agent::workdir::TaskDirs;
use crate::api::cache::{CacheHit, CachedContent, CachedFile, MAX_CACHED_FILES};
use crate::domain::execution::Reused;
use crate::domain::uri::{Uri, UriError};
use crate::storage::{self, Entry, EntryKind, Placement, StorageError, Transfer};

use super::error::StageError;
use super::inputs::clear_folder;
use super::key::folder_uri;
use super::movement::run_blocking;
use super::sums::md5_of;

/// The files of an entry by name; none stands for a folder.
type Wanted = BTreeMap<PathBuf, Option<CachedContent>>;

/// Outputs of another execution, as they should still be.
struct Former<'a> {
    output: &'a str,
    files: Wanted,
    place: Place,
}

/// Whether this task wants them where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Same,
    Other,
}

/// What a command has made. None: it cannot be taken over, since it is too
/// much or has names that are no text.
pub async fn list_made(
    dirs: &TaskDirs,
    transfer: &Transfer,
) -> Result<Option<Vec<CachedFile>>, StageError> {
    let folder = dirs.output();
    let listing = storage::list_outputs(&folder_uri(&folder), &folder, transfer).await?;
    if listing.entries().count() > MAX_CACHED_FILES {
        return Ok(None);
    }
    let cancel = transfer.cancel.clone();
    run_blocking(move || {
        let mut files = Vec::new();
        for (name, entry) in listing.entries() {
            let Some(name) = name.to_str().map(str::to_owned) else { return Ok(None) };
            let content = match entry.kind {
                EntryKind::Folder => None,
                EntryKind::File(facts) => {
                    let md5 = md5_of(&entry.source, &cancel)
                        .map_err(StageError::folder("read", &entry.source))?;
                    Some(CachedContent { bytes: facts.bytes, md5: storage::hexadecimal(&md5) })
                }
            };
            files.push(CachedFile { name, content });
        }
        Ok(Some(files))
    })
    .await
}

/// Looks whether the outputs of another execution are still what they were.
/// Where this task wants them elsewhere, they are in its output folder then.
/// None: they are not.
pub async fn take_over(
    hit: CacheHit,
    output: &str,
    dirs: &TaskDirs,
    transfer: &Transfer,
) -> Result<Option<Reuse>, StageError> {
    let files = hit.files.iter();
    let is_same = hit.output.trim_end_matches('/') == output.trim_end_matches('/');
    let former = Former {
        output: &hit.output,
        files: files.map(|file| (PathBuf::from(&file.name), file.content.clone())).collect(),
        place: if is_same { Place::Same } else { Place::Other },
    };
    match former.look(dirs, transfer).await {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) if is_change(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let reused = Reused { execution: hit.execution, task: hit.task };
    let place = if is_same { ReusePlace::Same } else { ReusePlace::Other(hit.files) };
    Ok(Some(Reuse { reused, place }))
}

/// Takes away what was brought and shall not be seen by a command.
pub async fn clear_outputs(dirs: &TaskDirs) -> Result<(), StageError> {
    let folder = dirs.output();
    run_blocking(move || clear_folder(&folder, |_| None)).await
}

impl Former<'_> {
    /// Whether all of it is what it was; brings it where that is needed.
    async fn look(&self, dirs: &TaskDirs, transfer: &Transfer) -> Result<bool, StageError> {
        let wanted = &self.files;
        if wanted.is_empty() {
            return Ok(true);
        }
        let mut listing = storage::list(&folder_of(self.output)?, transfer).await?;
        listing.retain(|name, _| wanted.contains_key(name));
        let is_right = |(name, entry): (&Path, &Entry)| {
            wanted.get(name).is_some_and(|content| looks_like(entry, content.as_ref()))
        };
        if listing.entries().count() != wanted.len() || !listing.entries().all(is_right) {
            return Ok(false);
        }
        if self.place == Place::Same {
            // What storage tells no sum of has to be read.
            listing.retain(|_, entry| !entry.is_folder() && told_sum(entry).is_none());
            if listing.entries().all(|(_, entry)| entry.remote.is_none()) {
                let places = listing.entries().map(|(name, entry)| (name, entry.source.clone()));
                return have_content(wanted, places, &transfer.cancel).await;
            }
        }
        clear_outputs(dirs).await?;
        let listing = Arc::new(listing);
        let folder = dirs.output();
        storage::fetch(Arc::clone(&listing), &folder, Placement::Output, transfer).await?;
        let files = listing.entries().filter(|(_, entry)| !entry.is_folder());
        let places = files.map(|(name, _)| (name, folder.join(name)));
        have_content(wanted, places, &transfer.cancel).await
    }
}

/// Whether an entry may be what it was, as far as it tells without being read.
fn looks_like(entry: &Entry, content: Option<&CachedContent>) -> bool {
    match (entry.kind, content) {
        (EntryKind::Folder, None) => true,
        (EntryKind::File(facts), Some(content)) => {
            let has_size = entry.remote.as_ref().is_none_or(|remote| remote.has_size);
            (!has_size || facts.bytes == content.bytes)
                && told_sum(entry).is_none_or(|sum| sum == content.md5)
        }
        _ => false,
    }
}

fn told_sum(entry: &Entry) -> Option<String> {
    let sum = entry.remote.as_ref()?.md5?;
    Some(storage::hexadecimal(&sum))
}

/// Whether these files of this machine have the contents that are wanted.
async fn have_content<'a>(
    wanted: &Wanted,
    places: impl Iterator<Item = (&'a Path, PathBuf)>,
    cancel: &CancellationToken,
) -> Result<bool, StageError> {
    let pairs: Vec<(PathBuf, String)> = places
        .filter_map(|(name, place)| {
            let content = wanted.get(name)?.as_ref()?;
            Some((place, content.md5.clone()))
        })
        .collect();
    let cancel = cancel.clone();
    run_blocking(move || {
        for (place, md5) in pairs {
            let sum = md5_of(&place, &cancel).map_err(StageError::folder("read", &place))?;
            if storage::hexadecimal(&sum) != md5 {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// Whether an error says that the outputs are no longer what they were.
fn is_change(error: &StageError) -> bool {
    matches!(
        error,
        StageError::Storage(
            StorageError::NotFound { .. }
                | StorageError::NothingMatched { .. }
                | StorageError::IsNoFolder { .. }
                | StorageError::Changed { .. }
                | StorageError::Checksum { .. }
        )
    )
}

fn folder_of(output: &str) -> Result<Uri, UriError> {
    format!("{}/", output.trim_end_matches('/')).parse()
}
