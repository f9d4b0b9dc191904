//! The segment files: named, made, appended to, synced, removed.
//!
//! A segment is only bytes. Where the index knows of none behind some point,
//! the bytes there are what an interrupted server left: they are never read,
//! and appending goes on after them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::OutputError;
use super::settings::OutputSettings;

const PREFIX: &str = "segment-";

/// At most this part of a disk is left free: half of what new tasks leave.
const RESERVED_PART: u64 = 40;

/// The segments of one directory, as their only writer sees them.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    settings: OutputSettings,
    current: Option<Current>,
    /// Number of the next new segment. Numbers are not used twice.
    next: u32,
    /// Segments with bytes that were not synced.
    unsynced: BTreeMap<u32, Arc<File>>,
    /// Segments with bytes that the index was not told of.
    unindexed: BTreeSet<u32>,
    #[cfg(test)]
    faults: faults::Faults,
}

/// The segment that is appended to.
#[derive(Debug)]
struct Current {
    number: u32,
    file: Arc<File>,
    position: u64,
}

/// Where bytes were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub segment: u32,
    pub position: u64,
}

/// The file of a segment.
pub(super) fn segment_path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{number:08}"))
}

/// Numbers and lengths of the segments in a directory.
pub(super) fn list_segments(directory: &Path) -> Result<BTreeMap<u32, u64>, OutputError> {
    let failed = |source| OutputError::file("list", directory, source);
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            segments.insert(number, entry.metadata().map_err(failed)?.len());
        }
    }
    Ok(segments)
}

impl Segments {
    /// Goes on with the newest of `existing` unless it is full.
    pub fn open(
        directory: &Path,
        settings: OutputSettings,
        existing: &BTreeMap<u32, u64>,
    ) -> Result<Self, OutputError> {
        let mut segments = Self {
            directory: directory.to_owned(),
            settings,
            current: None,
            next: existing.last_key_value().map_or(1, |(number, _)| number + 1),
            unsynced: BTreeMap::new(),
            unindexed: BTreeSet::new(),
            #[cfg(test)]
            faults: faults::Faults::default(),
        };
        if let Some((&number, &position)) = existing.last_key_value()
            && position < settings.segment_size
        {
            let path = segment_path(directory, number);
            let file = OpenOptions::new()
                .write(true)
                .open(&path)
                .map_err(|source| OutputError::file("open", &path, source))?;
            segments.current = Some(Current { number, file: Arc::new(file), position });
        }
        Ok(segments)
    }

    /// The segment that is appended to, if there is one yet.
    pub fn current(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.number)
    }

    /// Writes bytes behind all others. After a failure the same bytes of the
    /// segment are written again by the next call.
    pub fn append(&mut self, bytes: &[u8]) -> Result<Place, OutputError> {
        self.check_space(bytes.len() as u64)
            .map_err(|source| OutputError::file("write to", &self.directory, source))?;
        let (number, file, position) = self.room()?;
        let path = segment_path(&self.directory, number);
        if let Err(source) = self.write_at(&file, bytes, position) {
            // Gives the space of a half-written piece back; not needed to go on.
            let _ = file.set_len(position);
            return Err(OutputError::file("write to", &path, source));
        }
        self.unsynced.entry(number).or_insert(file);
        self.unindexed.insert(number);
        if let Some(current) = &mut self.current {
            current.position += bytes.len() as u64;
        }
        Ok(Place { segment: number, position })
    }

    /// Brings everything that was written to the disk.
    ///
    /// # Errors
    /// It is then unknown what arrived: none of the bytes written since the
    /// last sync may be relied on, and none of these segments is used again.
    pub fn sync(&mut self) -> Result<(), OutputError> {
        for (number, file) in std::mem::take(&mut self.unsynced) {
            if let Err(source) = self.sync_file(&file) {
                self.unsynced.clear();
                self.current = None;
                let path = segment_path(&self.directory, number);
                return Err(OutputError::file("sync", &path, source));
            }
        }
        Ok(())
    }

    /// Segments that were written to since [`Self::on_indexed`].
    pub const fn unindexed(&self) -> &BTreeSet<u32> {
        &self.unindexed
    }

    /// The index knows of all bytes that it shall know of.
    pub fn on_indexed(&mut self) {
        self.unindexed.clear();
    }

    /// Deletes a segment. Readers that have it open can go on reading.
    pub fn remove(&self, number: u32) -> Result<(), OutputError> {
        let path = segment_path(&self.directory, number);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(OutputError::file("delete", &path, source))
            }
            _ => Ok(()),
        }
    }

    #[cfg(test)]
    pub fn faults(&self) -> faults::Faults {
        self.faults.clone()
    }

    /// Refuses what would take the last free bytes of the disk.
    pub fn check_space(&self, length: u64) -> io::Result<()> {
        let figures = rustix::fs::statvfs(&self.directory)?;
        let disk = figures.f_blocks.saturating_mul(figures.f_frsize);
        let free = figures.f_bavail.saturating_mul(figures.f_frsize);
        let reserve = self.settings.reserve.min(disk / RESERVED_PART);
        if free < reserve.saturating_add(length) {
            let kept = format!("{free} bytes are free, and {reserve} are kept for the databases");
            return Err(io::Error::new(io::ErrorKind::StorageFull, kept));
        }
        Ok(())
    }

    /// The segment with room and the position of its end.
    fn room(&mut self) -> Result<(u32, Arc<File>, u64), OutputError> {
        if let Some(current) = &self.current
            && current.position < self.settings.segment_size
        {
            return Ok((current.number, Arc::clone(&current.file), current.position));
        }
        let number = self.next;
        let path = segment_path(&self.directory, number);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| OutputError::file("create", &path, source))?;
        self.next += 1;
        // The name has to be on disk before the index names the segment.
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| OutputError::file("sync", &self.directory, source))?;
        let file = Arc::new(file);
        self.current = Some(Current { number, file: Arc::clone(&file), position: 0 });
        Ok((number, file, 0))
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests make it fail through self"))]
    fn write_at(&self, file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
        #[cfg(test)]
        if let Some(error) = self.faults.take_write_fault() {
            // As on a full disk: the first half arrives.
            file.write_all_at(&bytes[..bytes.len() / 2], position)?;
            return Err(error);
        }
        file.write_all_at(bytes, position)
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests make it fail through self"))]
    fn sync_file(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if let Some(error) = self.faults.take_sync_fault() {
            return Err(error);
        }
        file.sync_data()
    }
}

#[cfg(test)]
pub(super) mod faults {
    //! Failures of the disk on demand.

    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// How many of the next writes and syncs fail.
    #[derive(Debug, Clone, Default)]
    pub struct Faults {
        pub writes: Arc<AtomicU32>,
        pub syncs: Arc<AtomicU32>,
    }

    impl Faults {
        pub fn take_write_fault(&self) -> Option<io::Error> {
            take(&self.writes).then(|| io::ErrorKind::StorageFull.into())
        }

        pub fn take_sync_fault(&self) -> Option<io::Error> {
            take(&self.syncs).then(|| io::Error::other("input/output error"))
        }
    }

    fn take(left: &AtomicU32) -> bool {
        left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}
