//! The inputs of one execution.
//!
//! An input that is to be unpacked goes into a folder of its own first, with its
//! content under a key that tells what it was made from; from there its files
//! are linked. So a restart finds it, and nothing is on disk twice.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use crate::domain::uri::Uri;
use crate::storage::{
    self, Entry, EntryKind, FileFacts, Listing, Moved, Placement, StorageError, Transfer,
};

use super::error::StageError;
use super::movement::{PARALLEL, run_blocking};

/// What is wanted in the input folder, by name.
type Wanted = BTreeMap<PathBuf, EntryKind>;

/// One try at all inputs. One that fails does not keep the others back: the
/// next try has less to do.
pub(super) async fn fetch_inputs(
    uris: &[Uri],
    folder: &Path,
    unpacked: &Path,
    transfer: &Transfer,
) -> Result<Moved, StageError> {
    let list_all: Vec<_> = uris.iter().map(|uri| list_input(uri, unpacked, transfer)).collect();
    let mut listings: Vec<Listing> =
        stream::iter(list_all).buffered(PARALLEL).try_collect().await?;
    let wanted = Arc::new(merge(&mut listings)?);
    let (owned, kept) = (folder.to_owned(), Arc::clone(&wanted));
    // What another try left unfinished is taken up.
    let keep = move |name: &Path| kept.get(name).copied().or_else(|| unfinished(name));
    run_blocking(move || clear_folder(&owned, keep)).await?;
    let fetch_all: Vec<_> =
        listings.into_iter().map(|listing| bring(listing, folder, transfer)).collect();
    let results: Vec<_> = stream::iter(fetch_all).buffered(PARALLEL).collect().await;
    let moved = sum_up(results)?;
    let owned = folder.to_owned();
    run_blocking(move || clear_folder(&owned, |name| wanted.get(name).copied())).await?;
    Ok(moved)
}

fn unfinished(name: &Path) -> Option<EntryKind> {
    let facts = FileFacts { bytes: 0, modified: std::time::UNIX_EPOCH, mode: 0o644 };
    storage::is_unfinished(name).then_some(EntryKind::File(facts))
}

/// What an input is once it has been unpacked.
async fn list_input(
    uri: &Uri,
    unpacked: &Path,
    transfer: &Transfer,
) -> Result<Listing, StorageError> {
    let listing = storage::list(uri, transfer).await?;
    if !storage::has_actions(uri) {
        return Ok(listing);
    }
    let mut hasher = Sha256::new();
    hasher.update(listing.fingerprint());
    hasher.update(uri.to_string());
    let key = storage::hexadecimal(hasher.finalize().get(..16).unwrap_or_default());
    let own = unpacked.join(key);
    let (raw, steps, done) = (own.join("raw"), own.join("steps"), own.join("files"));
    if !done.is_dir() {
        storage::fetch(Arc::new(listing), &raw, Placement::Input, transfer).await?;
        let acted = storage::act(uri, &raw, &steps, &done, Placement::Input, transfer).await;
        if matches!(acted, Err(StorageError::Archive { .. })) {
            // Perhaps what was fetched is damaged: the next try fetches it anew.
            let _ = tokio::fs::remove_dir_all(&own).await;
        }
        acted?;
    }
    // Its links keep what of it is in the next folder.
    let _ = tokio::fs::remove_dir_all(&raw).await;
    storage::list_directory(uri, &done, transfer).await
}

/// Fetches an input, or links what was unpacked of it.
async fn bring(
    listing: Listing,
    folder: &Path,
    transfer: &Transfer,
) -> Result<Moved, StorageError> {
    let uri = listing.uri().clone();
    if !storage::has_actions(&uri) {
        return storage::fetch(Arc::new(listing), folder, Placement::Input, transfer).await;
    }
    let (folder, cancel) = (folder.to_owned(), transfer.cancel.clone());
    let linking = tokio::task::spawn_blocking(move || {
        for (name, entry) in listing.entries() {
            if cancel.is_cancelled() {
                return Err(StorageError::Cancelled { uri: listing.uri().to_string() });
            }
            let target = folder.join(name);
            link_input(entry, &target).map_err(StorageError::io(listing.uri(), "link", &target))?;
        }
        Ok(Moved { files: listing.file_count(), bytes: listing.bytes(), notes: Vec::new() })
    });
    linking.await.unwrap_or_else(|error| {
        Err(StorageError::Internal { uri: uri.to_string(), reason: error.to_string() })
    })
}

fn link_input(entry: &Entry, target: &Path) -> io::Result<()> {
    if entry.is_folder() {
        fs::create_dir_all(target)?;
        return fs::set_permissions(target, Permissions::from_mode(0o777));
    }
    match fs::hard_link(&entry.source, target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(target)?;
            fs::hard_link(&entry.source, target)
        }
        linked => linked,
    }
}

/// Empties the folder of all but what is wanted in it; makes it when it is not
/// there. Blocks.
pub(super) fn clear_folder(
    folder: &Path,
    wanted: impl Fn(&Path) -> Option<EntryKind>,
) -> Result<(), StageError> {
    fs::create_dir_all(folder).map_err(StageError::folder("make", folder))?;
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let path = folder.join(&below);
        let entries: Vec<fs::DirEntry> = fs::read_dir(&path)
            .and_then(Iterator::collect)
            .map_err(StageError::folder("read", &path))?;
        for entry in entries {
            let name = below.join(entry.file_name());
            let is_folder = entry.file_type().is_ok_and(|file_type| file_type.is_dir());
            let path = entry.path();
            let removed = match (wanted(&name), is_folder) {
                (Some(EntryKind::Folder), true) => {
                    pending.push(name);
                    Ok(())
                }
                (Some(EntryKind::File(_)), false) => Ok(()),
                (_, true) => fs::remove_dir_all(&path),
                (_, false) => fs::remove_file(&path),
            };
            removed.map_err(StageError::folder("remove", &path))?;
        }
    }
    Ok(())
}

/// Puts the inputs together. Folders merge, and a file that several inputs
/// name stays with the first; two different files of one name, or a file and
/// a folder, cannot both be had.
fn merge(listings: &mut [Listing]) -> Result<Wanted, StageError> {
    let mut owners: BTreeMap<PathBuf, (Uri, Entry)> = BTreeMap::new();
    for listing in listings {
        let uri = listing.uri().clone();
        let mut collision = None;
        listing.retain(|name, entry| match owners.entry(name.to_owned()) {
            MapEntry::Vacant(place) => {
                place.insert((uri.clone(), entry.clone()));
                true
            }
            MapEntry::Occupied(place) => {
                let (owner, first) = place.get();
                if !first.merges_with(entry) {
                    collision.get_or_insert_with(|| StageError::Collision {
                        first: owner.to_string(),
                        second: uri.to_string(),
                        name: name.to_owned(),
                    });
                }
                entry.kind == EntryKind::Folder
            }
        });
        if let Some(collision) = collision {
            return Err(collision);
        }
    }
    Ok(owners.into_iter().map(|(name, (_, entry))| (name, entry.kind)).collect())
}

fn sum_up(results: Vec<Result<Moved, StorageError>>) -> Result<Moved, StorageError> {
    let mut sum = Moved::default();
    let mut failure: Option<StorageError> = None;
    for result in results {
        match result {
            Ok(moved) => {
                sum.files += moved.files;
                sum.bytes += moved.bytes;
                sum.notes.extend(moved.notes);
            }
            // Of several failures one that stays is told: waiting does not help.
            Err(error) if failure.as_ref().is_none_or(StorageError::is_transient) => {
                failure = Some(error);
            }
            Err(_) => {}
        }
    }
    failure.map_or(Ok(sum), Err)
}
