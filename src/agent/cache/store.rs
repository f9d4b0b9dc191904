//! The cache's folder on disk.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::Timestamp;

const RECORD: &str = "entry.json";
const FILES: &str = "files";
const RAW: &str = "raw";
const STEPS: &str = "steps";
const PARTIAL: &str = ".partial-";
const EVICTED: &str = ".evicted-";

/// Version of the records. Entries of another version are thrown away.
const VERSION: u32 = 1;

/// Why a cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    #[error("cannot {action} `{path}`, where resources are kept")]
    Folder { path: PathBuf, action: &'static str, source: io::Error },
}

/// Names an entry: a sum of address and fingerprint, in hexadecimal digits.
pub(super) type Key = String;

/// Length of that sum.
pub(super) const KEY_BYTES: usize = 16;

/// What an entry is, as kept beside its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub version: u32,
    pub uri: String,
    /// Fingerprint of the files as they are here. It can differ from that of
    /// the source, where this disk keeps dates less exactly.
    pub fingerprint: String,
    pub bytes: u64,
}

/// A whole entry.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub record: Record,
    pub used_at: Timestamp,
}

/// The folder with all entries.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
}

impl Record {
    pub(super) fn new(uri: String, fingerprint: String, bytes: u64) -> Self {
        Self { version: VERSION, uri, fingerprint, bytes }
    }
}

impl Store {
    /// Opens the folder, and makes it when it is not there. Finishes what a
    /// kill interrupted.
    pub(super) fn open(root: PathBuf) -> Result<(Self, HashMap<Key, Stored>), CacheError> {
        let failed = |action| {
            let path = root.clone();
            move |source| CacheError::Folder { path, action, source }
        };
        fs::create_dir_all(&root).map_err(failed("make"))?;
        let mut entries = HashMap::new();
        let found: Vec<fs::DirEntry> =
            fs::read_dir(&root).and_then(Iterator::collect).map_err(failed("read"))?;
        for folder in found {
            let name = folder.file_name().to_string_lossy().into_owned();
            let is_entry = is_key(&name);
            if let Some(stored) = load_entry(&folder.path()).filter(|_| is_entry) {
                entries.insert(name, stored);
            } else if is_entry || name.strip_prefix(EVICTED).is_some_and(is_key) {
                // Anything else in here is not ours to remove.
                remove_any(&folder.path()).map_err(failed("clear"))?;
            }
        }
        Ok((Self { root }, entries))
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where an entry's files are once it is whole.
    pub(super) fn files(&self, key: &str) -> PathBuf {
        self.root.join(key).join(FILES)
    }

    /// Where its files are put first.
    pub(super) fn partial_files(&self, key: &str) -> PathBuf {
        self.partial(key).join(FILES)
    }

    /// Where what was fetched is kept until it is unpacked.
    pub(super) fn partial_raw(&self, key: &str) -> PathBuf {
        self.partial(key).join(RAW)
    }

    /// Where it is unpacked step by step.
    pub(super) fn partial_steps(&self, key: &str) -> PathBuf {
        self.partial(key).join(STEPS)
    }

    /// Declares the partial entry whole. On disk when this returns.
    pub(super) fn commit(&self, key: &str, record: &Record) -> io::Result<()> {
        let partial = self.partial(key);
        let mut file = File::create(partial.join(RECORD))?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, self.root.join(key))?;
        File::open(&self.root)?.sync_all()
    }

    /// Remembers when the entry was used.
    pub(super) fn touch(&self, key: &str, at: Timestamp) -> io::Result<()> {
        let since_1970 = Duration::from_micros(u64::try_from(at.0).unwrap_or(0));
        File::open(self.root.join(key).join(RECORD))?.set_modified(UNIX_EPOCH + since_1970)
    }

    /// Takes an entry out of use at once; its files are still to be removed.
    pub(super) fn detach(&self, key: &str) -> io::Result<PathBuf> {
        let evicted = self.root.join(format!("{EVICTED}{key}"));
        remove_any(&evicted)?;
        fs::rename(self.root.join(key), &evicted)?;
        Ok(evicted)
    }

    /// The keys of entries that are not whole.
    pub(super) fn partial_keys(&self) -> Vec<Key> {
        let names = fs::read_dir(&self.root).into_iter().flatten().flatten();
        names
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(PARTIAL)?.to_owned()))
            .filter(|key| is_key(key))
            .collect()
    }

    pub(super) fn remove_partial(&self, key: &str) -> io::Result<()> {
        remove_any(&self.partial(key))
    }

    /// Whether a task has links to files of the entry. Removing it would then
    /// free nothing.
    pub(super) fn is_linked(&self, key: &str) -> bool {
        let mut pending = vec![self.files(key)];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                    Ok(metadata) if metadata.nlink() > 1 => return true,
                    _ => {}
                }
            }
        }
        false
    }

    /// Free space of the disk, percent of what users can have.
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    pub(super) fn free_percent(&self) -> io::Result<f64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        let usable = disk.f_blocks.saturating_sub(disk.f_bfree).saturating_add(disk.f_bavail);
        Ok(disk.f_bavail as f64 * 100.0 / usable.max(1) as f64)
    }

    fn partial(&self, key: &str) -> PathBuf {
        self.root.join(format!("{PARTIAL}{key}"))
    }
}

/// Removes a file, a link or a whole folder; nothing there is well, too.
pub(super) fn remove_any(path: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path).as_ref().is_ok_and(Metadata::is_dir);
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_key(name: &str) -> bool {
    name.len() == 2 * KEY_BYTES && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn load_entry(folder: &Path) -> Option<Stored> {
    let path = folder.join(RECORD);
    let record: Record = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
    let modified = fs::metadata(&path).ok()?.modified().ok()?;
    let since_1970 = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let used_at = Timestamp(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX));
    (record.version == VERSION).then_some(Stored { record, used_at })
}
