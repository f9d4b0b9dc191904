//! Sends the contents of a folder to a remote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};

use crate::domain::uri::Uri;

use super::super::copy::UNFINISHED_PREFIX;
use super::super::error::{StorageError, Subject};
use super::super::listing::{Entry, Listing, hexadecimal};
use super::super::transfer::{MAX_FAILURES, Moved, Transfer, lasting_first};
use super::backend::Remote;
use super::error::{RemoteError, Result};
use super::item::{Item, ItemKind, RemoteFile};
use super::source::Source;

/// A file that is larger is not sent again when it is there already. For
/// smaller ones, asking costs as much as sending.
const WORTH_ASKING: u64 = 8 << 20;

/// Memory that files on their way may take.
const MEMORY: u64 = 48 << 20;

/// Files that are sent at once when one of them is large.
const LARGE_AT_ONCE: usize = 2;

/// Sends what was listed of this machine into the folder `path`.
pub(in crate::storage) async fn send_remote(
    listing: &Listing,
    uri: &Uri,
    remote: &Remote,
    path: &str,
    transfer: &Transfer,
) -> std::result::Result<Moved, StorageError> {
    let subject = Subject(uri);
    let failed = |action, path: &str, error| StorageError::of_remote(subject, action, path, error);
    remote.check_writable().map_err(|error| failed("write to", path, error))?;
    let names = names_of(listing)?;
    for folder in folders_to_make(listing, remote, path, &names) {
        let made = remote.make_folder(&folder).await;
        made.map_err(|error| failed("make the folder", &folder, error))?;
    }
    let jobs: Vec<(String, Source)> = listing
        .files()
        .zip(file_names(listing, &names))
        .map(|((_, entry, facts), name)| {
            let limit = transfer.limit.clone();
            (join(path, name), Source { path: entry.source.clone(), bytes: facts.bytes, limit })
        })
        .collect();
    let sends = jobs.into_iter().map(|(target, source)| async move {
        let sent = send_file(remote, &target, &source, transfer).await;
        sent.map_err(|error| failed("send", &target, error)).map(|()| source.bytes)
    });
    let largest = listing.files().map(|(_, _, facts)| facts.bytes).max().unwrap_or(0);
    let mut results = stream::iter(sends).buffer_unordered(parallel_sends(remote, largest));
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

/// Small files are held in memory while they are sent, of large ones several parts.
fn parallel_sends(remote: &Remote, largest: u64) -> usize {
    if largest > WORTH_ASKING {
        return LARGE_AT_ONCE;
    }
    let fitting = usize::try_from(MEMORY / largest.max(1)).unwrap_or(usize::MAX);
    fitting.clamp(LARGE_AT_ONCE, remote.parallel())
}

async fn send_file(
    remote: &Remote,
    target: &str,
    source: &Source,
    transfer: &Transfer,
) -> Result<()> {
    if source.bytes > WORTH_ASKING
        && remote.knows_sums()
        && is_there(remote, target, source).await?
    {
        return Ok(());
    }
    let on_progress = |bytes| transfer.progress.add(bytes);
    if remote.is_atomic() {
        return remote.patiently(|| remote.write(target, source, &on_progress)).await;
    }
    let unfinished = unfinished_name(target, source);
    let sent = remote
        .patiently(|| async {
            remote.write(&unfinished, source, &on_progress).await?;
            match remote.stat(&unfinished).await? {
                Some(Item { kind: ItemKind::File(RemoteFile { bytes, .. }), .. })
                    if bytes.is_none_or(|bytes| bytes == source.bytes) =>
                {
                    remote.rename(&unfinished, target).await
                }
                _ => Err(RemoteError::temporary("not all of it arrived")),
            }
        })
        .await;
    if sent.is_err() {
        // Else it lies there for ever: its name says whose it is.
        let _ = remote.delete(&Item::file(&unfinished, RemoteFile::default())).await;
    }
    sent
}

/// Whether an earlier try sent this very content.
async fn is_there(remote: &Remote, target: &str, source: &Source) -> Result<bool> {
    let Some(Item { kind: ItemKind::File(file), .. }) = remote.stat(target).await? else {
        return Ok(false);
    };
    if file.bytes != Some(source.bytes) {
        return Ok(false);
    }
    remote.has_content_of(&file, source).await
}

/// All names of the listing as text; the first that is none is an error.
fn names_of(listing: &Listing) -> std::result::Result<Vec<&str>, StorageError> {
    listing
        .entries()
        .map(|(name, _)| {
            name.to_str().ok_or_else(|| StorageError::Name {
                uri: Subject(listing.uri()).uri(),
                name: name.to_owned(),
                reason: "it is no UTF-8, which this storage needs",
            })
        })
        .collect()
}

fn file_names<'a>(listing: &'a Listing, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let is_file = |entry: &Entry| !entry.is_folder();
    listing
        .entries()
        .zip(names)
        .filter(move |((_, entry), _)| is_file(entry))
        .map(|(_, name)| *name)
}

/// Folders that must be made; where folders come with their files, only those
/// that are empty.
fn folders_to_make(listing: &Listing, remote: &Remote, path: &str, names: &[&str]) -> Vec<String> {
    let parents: BTreeSet<&Path> =
        listing.entries().filter_map(|(name, _)| name.parent()).collect();
    let folders = listing.entries().zip(names).filter(|((_, entry), _)| entry.is_folder());
    let mut wanted: Vec<String> = folders
        .filter(|((name, _), _)| !remote.makes_folders() || !parents.contains(name))
        .map(|(_, name)| join(path, name))
        .collect();
    if !remote.makes_folders() || names.is_empty() {
        wanted.insert(0, path.to_owned());
    }
    wanted
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{}/{name}", folder.trim_end_matches('/')),
    }
}

/// The same for each attempt at this file from this machine.
fn unfinished_name(target: &str, source: &Source) -> String {
    let mut hasher = Sha256::new();
    hasher.update(rustix::system::uname().nodename().to_bytes());
    hasher.update(source.path.as_os_str().as_encoded_bytes());
    hasher.update(target);
    let name = hexadecimal(hasher.finalize().get(..12).unwrap_or_default());
    let folder = PathBuf::from(target).parent().map(|parent| parent.to_string_lossy().into_owned());
    join(&folder.unwrap_or_default(), &format!("{UNFINISHED_PREFIX}{name}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::limit::RateLimit;
    use super::*;

    #[test]
    fn an_unfinished_file_lies_beside_what_it_becomes() {
        let source = Source { path: PathBuf::from("/x"), bytes: 1, limit: RateLimit::default() };
        let name = unfinished_name("a/b/c", &source);
        assert!(name.starts_with("a/b/.scitq-"), "{name}");
        assert!(unfinished_name("c", &source).starts_with(".scitq-"));
        assert!(unfinished_name("/c", &source).starts_with("/.scitq-"));
        assert_eq!(name, unfinished_name("a/b/c", &source));
    }
}
