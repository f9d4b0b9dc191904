//! Taking an archive back into an empty data directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry};

use super::super::data_dir::DataDir;
use super::{BackupError, CERTIFICATE, DATABASE, END, FORMAT, MANIFEST, Manifest, OUTPUT};

/// Folder in the data directory in which the files lie until all are there.
const WORK: &str = "restore.tmp";

/// Largest manifest, bytes.
const MAX_MANIFEST: u64 = 64 << 10;

/// Puts the content of an archive in its places. The database comes last, so
/// that a restore which was cut short is none and can be repeated.
///
/// # Errors
/// The directory has a database, or the archive is not whole. The directory's
/// own files are as they were.
pub fn restore(data_dir: &DataDir, path: &Path) -> Result<Manifest, BackupError> {
    let target = data_dir.path();
    let has_database = fs::metadata(data_dir.database()).is_ok_and(|metadata| metadata.len() > 0);
    if has_database || data_dir.output().exists() {
        return Err(BackupError::NotEmpty { path: target.to_owned() });
    }
    let work = target.join(WORK);
    if let Err(error) = fs::remove_dir_all(&work)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(BackupError::file("remove", &work)(error));
    }
    let unpacked = unpack(path, &work);
    let manifest = match unpacked {
        Ok(manifest) => manifest,
        Err(error) => {
            // Nothing of a part is of use.
            let _ = fs::remove_dir_all(&work);
            return Err(error);
        }
    };
    for name in CERTIFICATE.iter().chain(&[OUTPUT, DATABASE]) {
        let from = work.join(name);
        if from.exists() {
            let to = target.join(name);
            fs::rename(&from, &to).map_err(BackupError::file("move to its place", &to))?;
        }
    }
    sync(target)?;
    fs::remove_dir_all(&work).map_err(BackupError::file("remove", &work))?;
    Ok(manifest)
}

/// Writes the files of an archive into a folder, and sees to it that all are on
/// the disk.
fn unpack(path: &Path, work: &Path) -> Result<Manifest, BackupError> {
    let read = || BackupError::file("read", path);
    let file = File::open(path).map_err(read())?;
    let output = work.join(OUTPUT);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&output);
    made.map_err(BackupError::file("create", &output))?;
    let mut archive = Archive::new(io::BufReader::with_capacity(1 << 20, file));
    let mut manifest = None;
    let mut has_database = false;
    for entry in archive.entries().map_err(read())? {
        let mut entry = entry.map_err(|error| not_a_backup(path, &error.to_string()))?;
        let name = name_of(&entry, path)?;
        if manifest.is_none() && name != MANIFEST {
            return Err(not_a_backup(path, &format!("it begins with `{name}`")));
        }
        match name.as_str() {
            MANIFEST => manifest = Some(read_manifest(&mut entry, path)?),
            END if has_database => {
                sync(&output)?;
                sync(work)?;
                // It was the first entry.
                return manifest.ok_or_else(|| not_a_backup(path, "it has no manifest"));
            }
            END => return Err(not_a_backup(path, "it has no database")),
            name => {
                has_database |= name == DATABASE;
                write(&mut entry, &work.join(name), path)?;
            }
        }
    }
    match manifest {
        Some(_) => Err(BackupError::CutShort { path: path.to_owned() }),
        None => Err(not_a_backup(path, "it is empty")),
    }
}

/// The name of an entry, one of those that a backup has: no other is a path of
/// ours, whatever it says.
fn name_of(entry: &Entry<'_, impl Read>, path: &Path) -> Result<String, BackupError> {
    let bytes = entry.path_bytes();
    let name = String::from_utf8_lossy(&bytes).into_owned();
    let is_segment = |name: &str| {
        name.strip_prefix("segment-").is_some_and(|digits| {
            digits.len() >= 8 && digits.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    let in_output = name.strip_prefix("output/");
    let is_known = [MANIFEST, END, DATABASE].contains(&name.as_str())
        || CERTIFICATE.contains(&name.as_str())
        || in_output.is_some_and(|name| name == "index.db" || is_segment(name));
    if is_known && entry.header().entry_type().is_file() {
        return Ok(name);
    }
    let shown: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Err(not_a_backup(path, &format!("it has an entry `{shown}`")))
}

fn read_manifest(entry: &mut Entry<'_, impl Read>, path: &Path) -> Result<Manifest, BackupError> {
    let mut bytes = Vec::new();
    let read = entry.take(MAX_MANIFEST).read_to_end(&mut bytes);
    read.map_err(BackupError::file("read", path))?;
    let format = serde_json::from_slice::<Form>(&bytes)
        .map_err(|error| not_a_backup(path, &format!("its manifest cannot be read: {error}")))?;
    if format.format != FORMAT {
        return Err(BackupError::OtherFormat { path: path.to_owned(), found: format.format });
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| not_a_backup(path, &format!("its manifest cannot be read: {error}")))
}

/// The part of a manifest that all forms have.
#[derive(serde::Deserialize)]
struct Form {
    format: u32,
}

fn write(
    entry: &mut Entry<'_, impl Read>,
    to: &PathBuf,
    archive: &Path,
) -> Result<(), BackupError> {
    let size = entry.size();
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut file = opened.map_err(BackupError::file("create", to))?;
    let copied = io::copy(entry, &mut file).map_err(BackupError::file("write", to))?;
    if copied < size {
        return Err(BackupError::CutShort { path: archive.to_owned() });
    }
    file.sync_all().map_err(BackupError::file("sync", to))
}

fn sync(directory: &Path) -> Result<(), BackupError> {
    let synced = File::open(directory).and_then(|file| file.sync_all());
    synced.map_err(BackupError::file("sync", directory))
}

fn not_a_backup(path: &Path, reason: &str) -> BackupError {
    BackupError::NotABackup { path: path.to_owned(), reason: reason.to_owned() }
}
