//! What an address names: files and folders by relative name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::domain::uri::Uri;

use super::error::StorageError;

/// Everything that an address names at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub(super) uri: Uri,
    /// By name, so that a folder comes before what is in it.
    pub(super) entries: BTreeMap<PathBuf, Entry>,
    pub(super) notes: Vec<Note>,
}

/// One file or folder of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where its content is.
    pub source: PathBuf,
    pub kind: EntryKind,
    /// What a remote tells beside; none for local files.
    pub remote: Option<RemoteFacts>,
}

/// What storage tells of a file beside its size and date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFacts {
    /// Whether the size is known; it counts as 0 else.
    pub has_size: bool,
    /// Changes with the content: an ETag, a version.
    pub tag: Option<Arc<str>>,
    /// MD5 sum of the content.
    pub md5: Option<[u8; 16]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    Folder,
    File(FileFacts),
}

/// What is kept of a file beside its content, and tells that it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    pub bytes: u64,
    pub modified: SystemTime,
    /// Permission bits, `0o777` at the most.
    pub mode: u32,
}

/// Something that was left out, and why: for the log and for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub path: PathBuf,
    pub reason: &'static str,
}

impl Listing {
    pub(super) fn new(uri: &Uri) -> Self {
        Self { uri: uri.clone(), entries: BTreeMap::new(), notes: Vec::new() }
    }

    /// The address that was listed.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// All entries with their relative names; a folder before what is in it.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_path(), entry))
    }

    /// What the address names and cannot be copied.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Sum of the sizes of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().map(|(_, _, facts)| facts.bytes).sum()
    }

    #[must_use]
    pub fn file_count(&self) -> u64 {
        self.files().map(|_| 1).sum()
    }

    /// Leaves out entries, to share them out among several listings.
    pub fn retain(&mut self, mut keep: impl FnMut(&Path, &Entry) -> bool) {
        self.entries.retain(|name, entry| keep(name, entry));
    }

    /// Changes whenever a name, a size, a date, an executable bit or the tag of
    /// a remote does: a SHA-256 sum in hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, entry) in self.entries() {
            let name = name.as_os_str().as_bytes();
            hasher.update(name.len().to_le_bytes());
            hasher.update(name);
            match entry.kind {
                EntryKind::Folder => hasher.update(b"d"),
                EntryKind::File(facts) => {
                    hasher.update(if facts.is_executable() { b"x" } else { b"f" });
                    hasher.update(facts.bytes.to_le_bytes());
                    hasher.update(nanoseconds_since_1970(facts.modified).to_le_bytes());
                    if let Some(tag) = entry.remote.as_ref().and_then(|facts| facts.tag.as_ref()) {
                        hasher.update(tag.as_bytes());
                    }
                }
            }
        }
        hexadecimal(&hasher.finalize())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &Entry, FileFacts)> {
        self.entries().filter_map(|(name, entry)| match entry.kind {
            EntryKind::File(facts) => Some((name, entry, facts)),
            EntryKind::Folder => None,
        })
    }

    /// Adds an entry and the folders that its name implies. Folders merge, and
    /// a file may be named twice; anything else under one name is an error.
    pub(super) fn add(&mut self, name: &Path, entry: Entry) -> Result<(), StorageError> {
        for parent in name.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            let source = entry.source.clone();
            self.add_one(parent, Entry::folder(source))?;
        }
        self.add_one(name, entry)
    }

    fn add_one(&mut self, name: &Path, entry: Entry) -> Result<(), StorageError> {
        match self.entries.entry(name.to_owned()) {
            MapEntry::Vacant(place) => {
                place.insert(entry);
                Ok(())
            }
            MapEntry::Occupied(place) if place.get().merges_with(&entry) => Ok(()),
            MapEntry::Occupied(place) => Err(StorageError::Collision {
                uri: self.uri.to_string(),
                first: place.get().source.clone(),
                second: entry.source,
                name: name.to_owned(),
            }),
        }
    }
}

impl Entry {
    pub(super) fn folder(source: PathBuf) -> Self {
        Self { source, kind: EntryKind::Folder, remote: None }
    }

    /// A file of this machine.
    pub(super) fn file(source: PathBuf, facts: FileFacts) -> Self {
        Self { source, kind: EntryKind::File(facts), remote: None }
    }

    #[must_use]
    pub const fn is_folder(&self) -> bool {
        matches!(self.kind, EntryKind::Folder)
    }

    /// Whether both can have one name: two folders, or one and the same file.
    #[must_use]
    pub fn merges_with(&self, other: &Self) -> bool {
        match (self.kind, other.kind) {
            (EntryKind::Folder, EntryKind::Folder) => true,
            (EntryKind::File(_), EntryKind::File(_)) => self.source == other.source,
            _ => false,
        }
    }
}

impl FileFacts {
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

/// The bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn nanoseconds_since_1970(time: SystemTime) -> i128 {
    let signed = |nanoseconds: u128| i128::try_from(nanoseconds).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after.as_nanos()),
        Err(before) => -signed(before.duration().as_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn file(source: &str, bytes: u64) -> Entry {
        let facts = FileFacts { bytes, modified: UNIX_EPOCH, mode: 0o644 };
        Entry::file(PathBuf::from(source), facts)
    }

    fn listing(entries: &[(&str, Entry)]) -> Listing {
        let mut listing = Listing::new(&"file:///x/".parse().unwrap());
        for (name, entry) in entries {
            listing.add(Path::new(name), entry.clone()).unwrap();
        }
        listing
    }

    #[test]
    fn folders_merge_and_different_files_collide() {
        let mut listing = listing(&[("a/x", file("/1/a/x", 1)), ("a/y", file("/2/a/y", 1))]);
        let names: Vec<&Path> = listing.entries().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "a/x", "a/y"].map(Path::new));
        listing.add(Path::new("a/x"), file("/1/a/x", 1)).unwrap();
        let error = listing.add(Path::new("a/x"), file("/2/a/x", 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`file:///x/` matches both `/1/a/x` and `/2/a/x`, which would become one `a/x`"
        );
        assert!(listing.add(Path::new("a"), file("/3/a", 1)).is_err());
        assert!(listing.add(Path::new("a/x/z"), file("/3/z", 1)).is_err());
    }

    #[test]
    fn a_fingerprint_tells_every_change() {
        let changed = |change: fn(&mut FileFacts)| {
            let mut entry = file("/a", 1);
            if let EntryKind::File(facts) = &mut entry.kind {
                change(facts);
            }
            listing(&[("a", entry)]).fingerprint()
        };
        let folder = Entry::folder(PathBuf::from("/a"));
        let prints = [
            listing(&[]).fingerprint(),
            listing(&[("a", file("/a", 1))]).fingerprint(),
            listing(&[("b", file("/a", 1))]).fingerprint(),
            listing(&[("a", folder)]).fingerprint(),
            changed(|facts| facts.bytes = 2),
            changed(|facts| facts.mode = 0o755),
            changed(|facts| facts.modified += Duration::from_nanos(1)),
            changed(|facts| facts.modified -= Duration::from_nanos(1)),
        ];
        let distinct: std::collections::BTreeSet<&String> = prints.iter().collect();
        assert_eq!(distinct.len(), prints.len());
        assert_eq!(changed(|facts| facts.mode = 0o600), prints[1]);
        assert_eq!(listing(&[("a", file("/elsewhere", 1))]).fingerprint(), prints[1]);
    }
}
