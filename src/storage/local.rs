//! Lists local files: single ones, folders, and what matches a pattern.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::io::Errno;

use crate::domain::uri::Uri;

use super::error::{StorageError, Subject};
use super::glob::{NamePattern, Part, has_wildcards, parse_pattern};
use super::listing::{Entry, FileFacts, Listing, Note};
use super::transfer::Transfer;

const SPECIAL: &str = "a FIFO, socket or device has no content to copy";

/// How far links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// All the way: what an address names is what a program would read there.
    /// A link that leads nowhere or round in a circle is an error.
    Follow,
    /// Links to files; links to folders, but not those within such a folder.
    /// What is not followed is noted: a command may leave any link behind.
    FollowOnce,
}

/// One listing in the making.
struct Lister<'a> {
    subject: Subject<'a>,
    links: Links,
    transfer: &'a Transfer,
    listing: Listing,
}

/// A folder that is to be read.
struct Folder {
    path: PathBuf,
    /// Its name in the listing; empty for the top.
    name: PathBuf,
    /// Itself and the folders that lead to it, to notice a circle.
    trail: Rc<Trail>,
    /// Whether a link led here.
    is_linked: bool,
}

struct Trail {
    id: (u64, u64),
    parent: Option<Rc<Trail>>,
}

/// A path that fits a pattern.
#[derive(Debug, PartialEq, Eq)]
struct Match {
    path: PathBuf,
    /// Its name from the first `**` on, when there is one.
    below: Option<PathBuf>,
}

/// Lists what an address names. A path that exists as it is written wins over
/// a pattern. A file is listed under its base name; of what a pattern with
/// `**` matches, the name begins where the `**` does. A folder stands for its
/// contents.
pub(super) fn list_local(
    uri: &Uri,
    path: &Path,
    transfer: &Transfer,
) -> Result<Listing, StorageError> {
    let subject = Subject(uri);
    let mut lister = Lister { subject, links: Links::Follow, transfer, listing: Listing::new(uri) };
    match fs::metadata(path) {
        Ok(metadata) => lister.add_named(path, &metadata)?,
        Err(error) if is_missing(&error) && fs::symlink_metadata(path).is_ok() => {
            return Err(StorageError::DanglingLink { uri: subject.uri(), path: path.to_owned() });
        }
        Err(error) if is_missing(&error) && has_wildcards(path) => lister.add_matches(path)?,
        Err(error) => return Err(lister.cannot_look(path, error)),
    }
    Ok(lister.listing)
}

/// Lists the contents of a folder of our own.
pub(super) fn list_folder(
    uri: &Uri,
    folder: &Path,
    links: Links,
    transfer: &Transfer,
) -> Result<Listing, StorageError> {
    let subject = Subject(uri);
    let mut lister = Lister { subject, links, transfer, listing: Listing::new(uri) };
    let metadata = fs::metadata(folder).map_err(|error| lister.cannot_look(folder, error))?;
    lister.add_contents(folder, Path::new(""), &metadata)?;
    Ok(lister.listing)
}

/// What is kept of a file beside its content.
pub(super) fn facts_of(metadata: &Metadata) -> io::Result<FileFacts> {
    Ok(FileFacts {
        bytes: metadata.len(),
        modified: metadata.modified()?,
        mode: metadata.permissions().mode() & 0o777,
    })
}

impl Lister<'_> {
    /// A path that the address names literally.
    fn add_named(&mut self, path: &Path, metadata: &Metadata) -> Result<(), StorageError> {
        let uri = self.subject.0;
        match (metadata.is_dir(), uri.is_folder()) {
            (true, false) => Err(StorageError::IsFolder { uri: self.subject.uri() }),
            (false, true) => Err(StorageError::IsNoFolder { uri: self.subject.uri() }),
            (true, true) => self.add_contents(path, Path::new(""), metadata),
            (false, false) if metadata.is_file() => {
                let name = path.file_name().unwrap_or_default();
                self.add_file(path, Path::new(name), metadata)
            }
            (false, false) => {
                Err(StorageError::Special { uri: self.subject.uri(), path: path.to_owned() })
            }
        }
    }

    fn add_matches(&mut self, pattern: &Path) -> Result<(), StorageError> {
        let wants_folders = self.subject.0.is_folder();
        let mut matches = BTreeMap::new();
        let parts = parse_pattern(pattern);
        self.expand(Match { path: PathBuf::from("/"), below: None }, &parts, &mut matches)?;
        let mut has_matched = false;
        for (path, below) in matches {
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) => return Err(self.cannot_look(&path, error)),
            };
            let base_name = || Path::new(path.file_name().unwrap_or_default()).to_owned();
            if wants_folders && metadata.is_dir() {
                self.add_contents(&path, &below.unwrap_or_default(), &metadata)?;
            } else if !wants_folders && metadata.is_file() {
                self.add_file(&path, &below.unwrap_or_else(base_name), &metadata)?;
            } else {
                if !metadata.is_dir() && !metadata.is_file() {
                    self.note(path, SPECIAL);
                }
                continue;
            }
            has_matched = true;
        }
        let kind = if wants_folders { "folder" } else { "file" };
        let nothing = || StorageError::NothingMatched { uri: self.subject.uri(), kind };
        has_matched.then_some(()).ok_or_else(nothing)
    }

    /// All paths that fit the parts, from the place that `at` is.
    fn expand(
        &self,
        at: Match,
        parts: &[Part<'_>],
        matches: &mut BTreeMap<PathBuf, Option<PathBuf>>,
    ) -> Result<(), StorageError> {
        let Some((part, rest)) = parts.split_first() else {
            if fs::symlink_metadata(&at.path).is_ok() {
                matches.insert(at.path, at.below);
            }
            return Ok(());
        };
        match part {
            Part::Name(name) => self.expand(at.join(name), rest, matches),
            Part::Wild(pattern) => {
                for (name, _) in self.read_matching(&at.path, pattern)? {
                    self.expand(at.join(&name), rest, matches)?;
                }
                Ok(())
            }
            Part::AnyDepth => {
                let here =
                    Match { below: at.below.or_else(|| Some(PathBuf::new())), path: at.path };
                for (name, is_folder) in self.read_matching(&here.path, &NamePattern::anything())? {
                    if is_folder {
                        self.expand(here.join(&name), parts, matches)?;
                    } else if rest.is_empty() {
                        self.expand(here.join(&name), rest, matches)?;
                    }
                }
                self.expand(here, rest, matches)
            }
        }
    }

    /// The entries of a folder that fit, and whether each is a folder and no
    /// link. A path that is no folder has none.
    fn read_matching(
        &self,
        folder: &Path,
        pattern: &NamePattern,
    ) -> Result<Vec<(std::ffi::OsString, bool)>, StorageError> {
        self.check_cancelled()?;
        let failed = |error| self.subject.io("read the folder", folder)(error);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut matching = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if pattern.matches(name.as_bytes()) {
                let is_folder = entry.file_type().map_err(failed)?.is_dir();
                matching.push((name, is_folder));
            }
        }
        Ok(matching)
    }

    /// All that is in a folder and below it, under `name`.
    fn add_contents(
        &mut self,
        folder: &Path,
        name: &Path,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        let trail = Rc::new(Trail { id: file_id(metadata), parent: None });
        let top =
            Folder { path: folder.to_owned(), name: name.to_owned(), trail, is_linked: false };
        if !name.as_os_str().is_empty() {
            self.add_folder(&top)?;
        }
        let mut pending = vec![top];
        while let Some(folder) = pending.pop() {
            self.check_cancelled()?;
            let failed = |error| self.subject.io("read the folder", &folder.path)(error);
            let entries: Vec<DirEntry> =
                fs::read_dir(&folder.path).and_then(Iterator::collect).map_err(failed)?;
            for entry in entries {
                if let Some(below) = self.add_entry(&folder, &entry)? {
                    self.add_folder(&below)?;
                    pending.push(below);
                }
            }
        }
        Ok(())
    }

    /// Adds one entry of a folder, or hands back the folder that it is.
    fn add_entry(
        &mut self,
        folder: &Folder,
        entry: &DirEntry,
    ) -> Result<Option<Folder>, StorageError> {
        let (path, name) = (entry.path(), folder.name.join(entry.file_name()));
        let is_link = match entry.file_type() {
            Ok(file_type) => file_type.is_symlink(),
            Err(error) => return Err(self.cannot_look(&path, error)),
        };
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if is_link => return self.on_broken_link(path, error).map(|()| None),
            Err(_) => return Err(self.subject.changed(&path)),
        };
        if metadata.is_file() {
            return self.add_file(&path, &name, &metadata).map(|()| None);
        }
        if !metadata.is_dir() {
            self.note(path, SPECIAL);
            return Ok(None);
        }
        if is_link && folder.is_linked && self.links == Links::FollowOnce {
            self.note(path, "links to folders are followed only once");
            return Ok(None);
        }
        let id = file_id(&metadata);
        if folder.trail.contains(id) {
            return self.on_loop(path).map(|()| None);
        }
        let trail = Rc::new(Trail { id, parent: Some(Rc::clone(&folder.trail)) });
        Ok(Some(Folder { path, name, trail, is_linked: folder.is_linked || is_link }))
    }

    fn add_folder(&mut self, folder: &Folder) -> Result<(), StorageError> {
        let entry = Entry::folder(folder.path.clone());
        self.listing.add(&folder.name, entry)
    }

    fn add_file(
        &mut self,
        path: &Path,
        name: &Path,
        metadata: &Metadata,
    ) -> Result<(), StorageError> {
        let facts = facts_of(metadata).map_err(self.subject.io("read the date of", path))?;
        let entry = Entry::file(path.to_owned(), facts);
        self.listing.add(name, entry)
    }

    fn on_broken_link(&mut self, path: PathBuf, error: io::Error) -> Result<(), StorageError> {
        let is_circle = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
        if is_circle {
            return self.on_loop(path);
        }
        if !is_missing(&error) {
            return Err(self.subject.io("follow the link", &path)(error));
        }
        if self.links == Links::Follow {
            return Err(StorageError::DanglingLink { uri: self.subject.uri(), path });
        }
        self.note(path, "the link leads nowhere");
        Ok(())
    }

    fn on_loop(&mut self, path: PathBuf) -> Result<(), StorageError> {
        if self.links == Links::Follow {
            return Err(StorageError::LinkLoop { uri: self.subject.uri(), path });
        }
        self.note(path, "the link leads back to itself or to a folder that it lies in");
        Ok(())
    }

    fn note(&mut self, path: PathBuf, reason: &'static str) {
        self.listing.notes.push(Note { path, reason });
    }

    /// The error for a path that the address names or matches.
    fn cannot_look(&self, path: &Path, error: io::Error) -> StorageError {
        let (uri, path) = (self.subject.uri(), path.to_owned());
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if is_missing(&error) && is_link {
            return StorageError::DanglingLink { uri, path };
        }
        if is_missing(&error) {
            return StorageError::NotFound { uri, path };
        }
        if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            return StorageError::LinkLoop { uri, path };
        }
        self.subject.io("look at", &path)(error)
    }

    fn check_cancelled(&self) -> Result<(), StorageError> {
        if self.transfer.cancel.is_cancelled() {
            return Err(self.subject.cancelled());
        }
        Ok(())
    }
}

impl Match {
    fn join(&self, name: &OsStr) -> Self {
        Self {
            path: self.path.join(name),
            below: self.below.as_ref().map(|below| below.join(name)),
        }
    }
}

impl Trail {
    fn contains(&self, id: (u64, u64)) -> bool {
        let mut folder = Some(self);
        while let Some(trail) = folder {
            if trail.id == id {
                return true;
            }
            folder = trail.parent.as_deref();
        }
        false
    }
}

/// Device and inode: the same for all ways that lead to one file.
fn file_id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Nothing is there, or what should be a folder on the way is none.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
