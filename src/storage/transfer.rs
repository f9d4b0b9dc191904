//! Copies what was listed: several files at a time, on threads that may block.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::uri::Uri;

use super::copy::{CopyFile, copy_file};
use super::error::{StorageError, Subject};
use super::limit::RateLimit;
use super::listing::{Entry, EntryKind, Listing, Note};
use super::local::{Links, list_folder, list_local};
use super::remote::{
    Opened, Remotes, delete_remote, fetch_remote, list_remote, list_run, send_remote,
};
use super::scratch::Scratch;

/// Files of one listing that are copied at once. More do not make a disk
/// faster, and a share that is far away is filled by these.
const PARALLEL: usize = 4;

/// After so many files that cannot be copied the others are not tried: a share
/// that is gone fails every file, and may take minutes for each.
pub(super) const MAX_FAILURES: usize = 10;

/// How long a cancelled transfer waits for its threads to notice. A thread
/// that hangs in a dead network file system never does, and is left behind.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// The controls of transfers that belong together.
#[derive(Debug, Clone, Default)]
pub struct Transfer {
    /// Ends them between two files, or within 16 MiB of a large one.
    pub cancel: CancellationToken,
    pub progress: Progress,
    /// The storage that they can reach.
    pub remotes: Remotes,
    /// For what is made on the way.
    pub scratch: Scratch,
    pub limit: RateLimit,
}

/// Counts the bytes that were copied, those of attempts that failed included,
/// and those that there are to copy.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    total: AtomicU64,
}

/// What becomes of files and folders where they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Inputs of a task, which may run as any user: readable by all (the
    /// task's directory keeps others out), and its folders writable by all.
    /// Not synced: what a power cut takes is fetched again.
    Input,
    /// Kept for many tasks: files that nobody can write to. Synced.
    Resource,
    /// Results: permissions of the source less the umask, as `cp` has it.
    /// Synced, since the only other copy is deleted next.
    Output,
}

/// What a transfer did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// Files that are now where they should be, those that were there included.
    pub files: u64,
    /// Sizes of these files.
    pub bytes: u64,
    /// What could not be copied.
    pub notes: Vec<Note>,
}

/// One run over the files of a listing by several threads.
struct Run<'a> {
    listing: &'a Listing,
    target: &'a Path,
    placement: Placement,
    transfer: &'a Transfer,
    files: Vec<(&'a Path, &'a Entry)>,
    next: AtomicUsize,
    failures: Mutex<Vec<StorageError>>,
}

/// Lists what the address of an input or a resource names, before any action.
pub async fn list(uri: &Uri, transfer: &Transfer) -> Result<Listing, StorageError> {
    match until_cancelled(uri, transfer, transfer.remotes.open(uri)).await? {
        Opened::Local(path) => {
            let owned = uri.clone();
            run_blocking(uri, transfer, move |transfer| list_local(&owned, &path, transfer)).await
        }
        Opened::Remote(remote, path) => match remote.as_run() {
            Some(run) => {
                until_cancelled(uri, transfer, list_run(uri, &remote, run, transfer)).await
            }
            None => until_cancelled(uri, transfer, list_remote(uri, &remote, &path)).await,
        },
    }
}

/// Lists the contents of a folder of this machine, as if `uri` named it.
pub async fn list_directory(
    uri: &Uri,
    folder: &Path,
    transfer: &Transfer,
) -> Result<Listing, StorageError> {
    let (owned, folder) = (uri.clone(), folder.to_owned());
    run_blocking(uri, transfer, move |transfer| {
        list_folder(&owned, &folder, Links::Follow, transfer)
    })
    .await
}

/// Lists what [`send`] would send of a folder, as if `uri` named it.
pub async fn list_outputs(
    uri: &Uri,
    folder: &Path,
    transfer: &Transfer,
) -> Result<Listing, StorageError> {
    let (owned, folder) = (uri.clone(), folder.to_owned());
    run_blocking(uri, transfer, move |transfer| {
        list_folder(&owned, &folder, Links::FollowOnce, transfer)
    })
    .await
}

/// Brings what was listed into the folder `target`, which is made if need be.
///
/// Files that are there already, with the same size and date, are left alone:
/// after an error the same call goes on where it stopped. No file has its
/// final name before it is whole. Dates and executable bits of files are kept.
pub async fn fetch(
    listing: Arc<Listing>,
    target: &Path,
    placement: Placement,
    transfer: &Transfer,
) -> Result<Moved, StorageError> {
    let (uri, target) = (listing.uri.clone(), target.to_owned());
    transfer.progress.expect(listing.bytes());
    let is_remote = listing.entries().any(|(_, entry)| entry.remote.is_some());
    if !is_remote {
        return run_blocking(&uri, transfer, move |transfer| {
            copy_listing(&listing, &target, placement, transfer)
        })
        .await;
    }
    let Opened::Remote(remote, _) = transfer.remotes.open(&uri).await? else {
        // The settings have changed since it was listed.
        return Err(Subject(&uri).changed(Path::new(&uri.path)));
    };
    let (folders, place) = (Arc::clone(&listing), target.clone());
    run_blocking(&uri, transfer, move |_| make_folders(&folders, &place, placement)).await?;
    let fetching = fetch_remote(&listing, &remote, &target, placement, transfer);
    let moved = until_cancelled(&uri, transfer, fetching).await?;
    if placement.is_synced() {
        let (folders, place) = (Arc::clone(&listing), target);
        run_blocking(&uri, transfer, move |_| sync_folders(&folders, &place)).await?;
    }
    Ok(Moved { notes: listing.notes.clone(), ..moved })
}

/// Sends the contents of `folder` to the folder that the address names.
/// Repeated, it sends only what is not there yet, as [`fetch`] does.
pub async fn send(folder: &Path, uri: &Uri, transfer: &Transfer) -> Result<Moved, StorageError> {
    let listing = list_outputs(uri, folder, transfer).await?;
    send_listing(&Arc::new(listing), uri, transfer).await
}

/// Sends what was listed of this machine to the folder that the address names.
pub async fn send_listing(
    listing: &Arc<Listing>,
    uri: &Uri,
    transfer: &Transfer,
) -> Result<Moved, StorageError> {
    transfer.progress.expect(listing.bytes());
    match until_cancelled(uri, transfer, transfer.remotes.open(uri)).await? {
        Opened::Local(target) => {
            let listing = Arc::clone(listing);
            run_blocking(uri, transfer, move |transfer| {
                copy_listing(&listing, &target, Placement::Output, transfer)
            })
            .await
        }
        Opened::Remote(remote, path) => {
            let sending = send_remote(listing, uri, &remote, &path, transfer);
            let moved = until_cancelled(uri, transfer, sending).await?;
            Ok(Moved { notes: listing.notes.clone(), ..moved })
        }
    }
}

/// Deletes what an address names: files, and folders with all that is in them.
/// Says how many files there were.
pub async fn delete(uri: &Uri, transfer: &Transfer) -> Result<u64, StorageError> {
    let listing = list(uri, transfer).await?;
    match transfer.remotes.open(uri).await? {
        Opened::Local(path) => {
            run_blocking(uri, transfer, move |transfer| delete_local(&listing, &path, transfer))
                .await
        }
        Opened::Remote(remote, path) => {
            let deleting = delete_remote(uri, &remote, &path, &listing);
            until_cancelled(uri, transfer, deleting).await
        }
    }
}

/// Of several failures one that stays is told: waiting does not help.
pub(super) fn lasting_first(failures: Vec<StorageError>) -> Option<StorageError> {
    let lasting = failures.iter().position(|error| !error.is_transient());
    failures.into_iter().nth(lasting.unwrap_or(0))
}

impl Progress {
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of all that was begun, what was there already included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn expect(&self, bytes: u64) {
        self.0.total.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Gives up when the transfer is cancelled.
async fn until_cancelled<T>(
    uri: &Uri,
    transfer: &Transfer,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    tokio::select! {
        biased;
        () = transfer.cancel.cancelled() => Err(Subject(uri).cancelled()),
        done = work => done,
    }
}

/// Deletes files, then the folders that held them. Links go, and what they
/// lead to stays.
fn delete_local(listing: &Listing, path: &Path, transfer: &Transfer) -> Result<u64, StorageError> {
    let subject = Subject(&listing.uri);
    let mut folders: Vec<&Path> = Vec::new();
    for (_, entry) in listing.entries() {
        if transfer.cancel.is_cancelled() {
            return Err(subject.cancelled());
        }
        if entry.is_folder() {
            folders.push(&entry.source);
            continue;
        }
        match fs::remove_file(&entry.source) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(subject.io("delete", &entry.source)(error));
            }
            _ => {}
        }
    }
    if listing.uri.is_folder() && fs::symlink_metadata(path).is_ok() {
        folders.insert(0, path);
    }
    for folder in folders.into_iter().rev() {
        fs::remove_dir(folder).map_err(subject.io("delete", folder))?;
    }
    Ok(listing.file_count())
}

/// Runs on a thread that may block. The thread is told to stop when this is
/// cancelled or dropped.
pub(super) async fn run_blocking<T: Send + 'static>(
    uri: &Uri,
    transfer: &Transfer,
    work: impl FnOnce(&Transfer) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let cancel = transfer.cancel.child_token();
    let _cancel_when_dropped = cancel.clone().drop_guard();
    let own = Transfer { cancel, ..transfer.clone() };
    let thread = tokio::task::spawn_blocking(move || work(&own));
    let cancelled_for_long = async {
        transfer.cancel.cancelled().await;
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    tokio::select! {
        joined = thread => joined.unwrap_or_else(|error| {
            Err(StorageError::Internal { uri: uri.to_string(), reason: error.to_string() })
        }),
        () = cancelled_for_long => Err(Subject(uri).cancelled()),
    }
}

fn copy_listing(
    listing: &Listing,
    target: &Path,
    placement: Placement,
    transfer: &Transfer,
) -> Result<Moved, StorageError> {
    make_folders(listing, target, placement)?;
    let run = Run {
        listing,
        target,
        placement,
        transfer,
        files: listing.files().map(|(name, entry, _)| (name, entry)).collect(),
        next: AtomicUsize::new(0),
        failures: Mutex::default(),
    };
    let moved = run.copy_files()?;
    if placement.is_synced() {
        sync_folders(listing, target)?;
    }
    Ok(Moved { notes: listing.notes.clone(), ..moved })
}

impl Run<'_> {
    fn copy_files(self) -> Result<Moved, StorageError> {
        let threads = PARALLEL.min(self.files.len());
        let counts = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| self.work())).collect();
            let own = self.work();
            others
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| self.on_panic()))
                .fold(own, |sum, part| (sum.0 + part.0, sum.1 + part.1))
        });
        if self.transfer.cancel.is_cancelled() {
            return Err(Subject(&self.listing.uri).cancelled());
        }
        let failures = self.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        match lasting_first(failures) {
            Some(error) => Err(error),
            None => Ok(Moved { files: counts.0, bytes: counts.1, notes: Vec::new() }),
        }
    }

    /// Copies one file after the other until none is left; counts files and bytes.
    fn work(&self) -> (u64, u64) {
        let (mut files, mut bytes) = (0, 0);
        while let Some((name, entry)) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let EntryKind::File(facts) = entry.kind else { continue };
            let target = self.target.join(name);
            let file = CopyFile {
                subject: Subject(&self.listing.uri),
                source: &entry.source,
                facts,
                target: &target,
                placement: self.placement,
            };
            match copy_file(&file, self.transfer) {
                Ok(()) => {
                    files += 1;
                    bytes += facts.bytes;
                }
                Err(error) => {
                    let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push(error);
                    if failures.len() >= MAX_FAILURES {
                        self.next.store(self.files.len(), Ordering::Relaxed);
                    }
                }
            }
        }
        (files, bytes)
    }

    fn on_panic(&self) -> (u64, u64) {
        let reason = "a thread panicked".to_owned();
        let error = StorageError::Internal { uri: self.listing.uri.to_string(), reason };
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(error);
        (0, 0)
    }
}

impl Placement {
    pub(super) const fn is_synced(self) -> bool {
        matches!(self, Self::Resource | Self::Output)
    }

    /// Permissions of a folder, where they do not follow from the umask.
    const fn folder_mode(self) -> Option<u32> {
        match self {
            Self::Input => Some(0o777),
            Self::Resource => Some(0o755),
            Self::Output => None,
        }
    }
}

fn make_folders(
    listing: &Listing,
    target: &Path,
    placement: Placement,
) -> Result<(), StorageError> {
    let subject = Subject(&listing.uri);
    fs::create_dir_all(target).map_err(subject.io("make the folder", target))?;
    let folders = listing.entries().filter(|(_, entry)| entry.kind == EntryKind::Folder);
    for (name, _) in folders {
        let path = target.join(name);
        fs::create_dir_all(&path).map_err(subject.io("make the folder", &path))?;
        if let Some(mode) = placement.folder_mode() {
            fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(subject.io("set the permissions of", &path))?;
        }
    }
    Ok(())
}

/// Makes the names durable that were given to files and folders.
fn sync_folders(listing: &Listing, target: &Path) -> Result<(), StorageError> {
    let subject = Subject(&listing.uri);
    let parents: BTreeSet<PathBuf> = listing
        .entries()
        .filter_map(|(name, _)| target.join(name).parent().map(Path::to_owned))
        .collect();
    for folder in parents {
        match File::open(&folder).and_then(|folder| folder.sync_all()) {
            // Some file systems cannot sync a folder, and do not need to.
            Err(error)
                if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) =>
            {
                return Err(subject.io("sync the folder", &folder)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
