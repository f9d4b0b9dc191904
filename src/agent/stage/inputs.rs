//! The inputs of one execution.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::domain::uri::Uri;
use crate::storage::{self, Entry, EntryKind, Listing, Moved, Placement, StorageError, Transfer};

use super::error::StageError;
use super::movement::{PARALLEL, run_blocking};

/// What is wanted in the input folder, by name.
type Wanted = BTreeMap<PathBuf, EntryKind>;

/// One try at all inputs. One that fails does not keep the others back: the
/// next try has less to do.
pub(super) async fn fetch_inputs(
    uris: &[Uri],
    folder: &Path,
    transfer: &Transfer,
) -> Result<Moved, StageError> {
    let list_all: Vec<_> = uris.iter().map(|uri| storage::list(uri, transfer)).collect();
    let mut listings: Vec<Listing> =
        stream::iter(list_all).buffered(PARALLEL).try_collect().await?;
    let wanted = merge(&mut listings)?;
    let owned = folder.to_owned();
    run_blocking(move || clear_folder(&owned, |name| wanted.get(name).copied())).await?;
    let fetch_all: Vec<_> = listings
        .into_iter()
        .map(|listing| storage::fetch(Arc::new(listing), folder, Placement::Input, transfer))
        .collect();
    let results: Vec<_> = stream::iter(fetch_all).buffered(PARALLEL).collect().await;
    Ok(sum_up(results)?)
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
