//! The use of a resource.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::storage::{EntryKind, FileFacts, Listing, StorageError};

use super::store::remove_any;

/// Keeps an entry from being evicted while it is linked. The links do so from
/// then on.
#[derive(Debug)]
pub struct Lease {
    pub(super) listing: Arc<Listing>,
    pub(super) _in_use: Arc<()>,
}

impl Lease {
    /// The files of the resource, as they are kept here.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Puts the resource into a folder. What is in the way is replaced, so of
    /// two resources with one name the later one wins. Blocks.
    pub fn link_into(&self, folder: &Path, cancel: &CancellationToken) -> Result<(), StorageError> {
        let uri = self.listing.uri();
        for (name, entry) in self.listing.entries() {
            if cancel.is_cancelled() {
                return Err(StorageError::Cancelled { uri: uri.to_string() });
            }
            let target = folder.join(name);
            let linked = match entry.kind {
                EntryKind::Folder => make_folder(&target),
                EntryKind::File(facts) => link_file(&entry.source, &target, facts),
            };
            linked.map_err(StorageError::io(uri, "link", &target))?;
        }
        Ok(())
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        remove_any(path)?;
        fs::create_dir(path)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// A hard link, or a copy where there can be none: the file has as many links
/// as the file system allows, or the folder is on another one.
fn link_file(source: &Path, target: &Path, facts: FileFacts) -> io::Result<()> {
    remove_any(target)?;
    match fs::hard_link(source, target) {
        Err(error) if is_no_link_possible(&error) => {
            fs::copy(source, target)?;
            File::open(target)?.set_modified(facts.modified)
        }
        linked => linked,
    }
}

fn is_no_link_possible(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP))
}
