//! Copies one file so that it is never seen half.

use std::ffi::OsString;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::error::{StorageError, Subject};
use super::listing::{FileFacts, hexadecimal};
use super::local::facts_of;
use super::transfer::{Placement, Transfer};

/// After so many bytes it is looked whether the transfer was cancelled.
const CHUNK: u64 = 16 << 20;

/// What unfinished files are called, so that people know whose they are.
pub(super) const UNFINISHED_PREFIX: &str = ".scitq-";

/// One file to copy.
pub(super) struct CopyFile<'a> {
    pub subject: Subject<'a>,
    pub source: &'a Path,
    /// What the source was when it was listed.
    pub facts: FileFacts,
    pub target: &'a Path,
    pub placement: Placement,
}

/// An unfinished file, removed when it is dropped.
struct Unfinished {
    path: PathBuf,
    is_kept: bool,
}

/// Sees to it that the target is what the source is. Copies to a temporary name beside the target and renames. The bytes go
/// through `copy_file_range`, so that file systems which can share blocks do.
pub(super) fn copy_file(file: &CopyFile<'_>, transfer: &Transfer) -> Result<(), StorageError> {
    if transfer.cancel.is_cancelled() {
        return Err(file.subject.cancelled());
    }
    if file.is_there_already() {
        return Ok(());
    }
    let source = file.open_source()?;
    let mut unfinished = Unfinished { path: unfinished_path(file), is_kept: false };
    let target = file.create(&unfinished.path)?;
    file.copy_bytes(&source, &target, transfer)?;
    file.check_unchanged(&source)?;
    file.finish(&target)?;
    if transfer.cancel.is_cancelled() {
        return Err(file.subject.cancelled());
    }
    fs::rename(&unfinished.path, file.target)
        .map_err(file.subject.io("give its final name to", file.target))?;
    unfinished.is_kept = true;
    Ok(())
}

impl CopyFile<'_> {
    pub(super) fn is_there_already(&self) -> bool {
        let Ok(metadata) = fs::symlink_metadata(self.target) else { return false };
        metadata.is_file()
            && metadata.len() == self.facts.bytes
            && metadata.modified().is_ok_and(|modified| modified == self.facts.modified)
    }

    /// Opens the source, which must be what was listed. Without blocking,
    /// should a FIFO have taken its place.
    fn open_source(&self) -> Result<File, StorageError> {
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let source = match OpenOptions::new().read(true).custom_flags(flags).open(self.source) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.subject.changed(self.source));
            }
            Err(error) => return Err(self.subject.io("read", self.source)(error)),
        };
        self.check_unchanged(&source)?;
        Ok(source)
    }

    fn check_unchanged(&self, source: &File) -> Result<(), StorageError> {
        let failed = |error| self.subject.io("look at", self.source)(error);
        let metadata = source.metadata().map_err(failed)?;
        let facts = facts_of(&metadata).map_err(failed)?;
        let is_same = metadata.is_file()
            && (facts.bytes, facts.modified) == (self.facts.bytes, self.facts.modified);
        if is_same { Ok(()) } else { Err(self.subject.changed(self.source)) }
    }

    fn create(&self, path: &Path) -> Result<File, StorageError> {
        // What an earlier attempt of ours left when it was killed.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.subject.io("remove", path)(error));
            }
            _ => {}
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode())
            .open(path)
            .map_err(self.subject.io("create", path))
    }

    fn copy_bytes(
        &self,
        source: &File,
        target: &File,
        transfer: &Transfer,
    ) -> Result<(), StorageError> {
        let mut copied = 0;
        let piece = transfer.limit.piece(CHUNK);
        loop {
            if transfer.cancel.is_cancelled() {
                return Err(self.subject.cancelled());
            }
            let chunk = io::copy(&mut source.take(piece), &mut &*target)
                .map_err(self.subject.io("copy to", self.target))?;
            transfer.limit.pass_blocking(chunk, &transfer.cancel);
            copied += chunk;
            transfer.progress.add(chunk);
            if copied > self.facts.bytes || (chunk == 0 && copied < self.facts.bytes) {
                return Err(self.subject.changed(self.source));
            }
            if chunk == 0 {
                return Ok(());
            }
        }
    }

    /// Gives the copy its date and permissions, and syncs it where it must be.
    pub(super) fn finish(&self, target: &File) -> Result<(), StorageError> {
        if self.placement != Placement::Output {
            target
                .set_permissions(Permissions::from_mode(self.mode()))
                .map_err(self.subject.io("set the permissions of", self.target))?;
        }
        target
            .set_times(FileTimes::new().set_modified(self.facts.modified))
            .map_err(self.subject.io("set the date of", self.target))?;
        if self.placement.is_synced() {
            target.sync_all().map_err(self.subject.io("sync", self.target))?;
        }
        Ok(())
    }

    pub(super) const fn mode(&self) -> u32 {
        match (self.placement, self.facts.is_executable()) {
            (Placement::Input, false) => 0o644,
            (Placement::Input, true) => 0o755,
            (Placement::Resource, false) => 0o444,
            (Placement::Resource, true) => 0o555,
            (Placement::Output, _) => self.facts.mode,
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            // If it stays, the next attempt removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a name is that of an unfinished file of ours, which a later attempt
/// may take up.
#[must_use]
pub fn is_unfinished(name: &Path) -> bool {
    let file = name.file_name().unwrap_or_default();
    file.as_bytes().starts_with(UNFINISHED_PREFIX.as_bytes())
}

/// The same for each attempt of one task at one file, so that a kill leaves
/// nothing behind once another attempt has been made; different for different
/// tasks and machines, which may send to one folder at the same time.
pub(super) fn unfinished_path(file: &CopyFile<'_>) -> PathBuf {
    let mut hasher = Sha256::new();
    for part in [
        rustix::system::uname().nodename().to_bytes(),
        file.source.as_os_str().as_bytes(),
        file.target.as_os_str().as_bytes(),
    ] {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    let mut name = OsString::from(UNFINISHED_PREFIX);
    name.push(hexadecimal(hasher.finalize().get(..12).unwrap_or_default()));
    file.target.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use crate::domain::uri::Uri;

    use super::*;

    #[test]
    fn what_a_killed_attempt_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        fs::write(&source, "whole").unwrap();
        let uri: Uri = "file:///x".parse().unwrap();
        let facts = facts_of(&fs::metadata(&source).unwrap()).unwrap();
        for placement in [Placement::Input, Placement::Resource, Placement::Output] {
            let subject = Subject(&uri);
            let file = CopyFile { subject, source: &source, facts, target: &target, placement };
            let unfinished = unfinished_path(&file);
            fs::write(&unfinished, "half of something longer").unwrap();
            fs::set_permissions(&unfinished, Permissions::from_mode(0o444)).unwrap();
            copy_file(&file, &Transfer::default()).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
            assert!(!unfinished.exists());
            fs::remove_file(&target).unwrap();
        }
    }

    #[test]
    fn a_name_of_greatest_length_can_be_copied() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("s".repeat(255));
        let target = folder.path().join("t".repeat(255));
        fs::write(&source, "x").unwrap();
        let uri: Uri = "file:///x".parse().unwrap();
        let facts = facts_of(&fs::metadata(&source).unwrap()).unwrap();
        let (subject, placement) = (Subject(&uri), Placement::Output);
        let file = CopyFile { subject, source: &source, facts, target: &target, placement };
        copy_file(&file, &Transfer::default()).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "x");
    }
}
