//! Making an archive.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tar::{Builder, Header};

use super::super::data_dir::DataDir;
use super::super::output::OutputStore;
use super::super::store::Store;
use super::{BackupError, CERTIFICATE, DATABASE, END, MANIFEST, Manifest, OUTPUT};

/// Folder in the data directory in which the copies lie while they are sent.
const WORK: &str = "backup.tmp";

/// Free space beyond the copies that commits need meanwhile: a 20th of them.
const MARGIN: u64 = 20;

/// Copies of everything, consistent among each other. Removed when dropped.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    manifest: Manifest,
    segments: Vec<PathBuf>,
    certificate: Vec<PathBuf>,
}

/// Removes what a server that was killed left of a backup.
pub fn clear_leftovers(data_dir: &DataDir) {
    let folder = data_dir.path().join(WORK);
    if let Err(error) = fs::remove_dir_all(&folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %folder.display(), "an old copy cannot be removed");
    }
}

impl Snapshot {
    /// Copies the databases, and holds on to the segments of the output. Blocks.
    ///
    /// # Errors
    /// There is no room, or the disk fails. Nothing is left of it.
    pub fn take(
        data_dir: &DataDir,
        store: &Store,
        output: &OutputStore,
        manifest: Manifest,
    ) -> Result<Self, BackupError> {
        let folder = data_dir.path().join(WORK);
        check_room(data_dir, store.size() + output.index_size())?;
        clear_leftovers(data_dir);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder.join(OUTPUT));
        made.map_err(BackupError::file("create", &folder))?;
        let mut snapshot = Self {
            folder: folder.clone(),
            manifest,
            segments: Vec::new(),
            certificate: Vec::new(),
        };
        store.copy_to(&folder.join(DATABASE)).map_err(BackupError::Database)?;
        let kept = folder.join(OUTPUT);
        // Before the index is copied, lest one that it names is gone by then, and
        // after it, for those that it was told of meanwhile.
        output.link_segments(&kept).map_err(BackupError::Output)?;
        output.copy_index(&kept.join("index.db")).map_err(BackupError::Output)?;
        snapshot.segments = output.link_segments(&kept).map_err(BackupError::Output)?;
        snapshot.certificate = CERTIFICATE
            .iter()
            .map(|name| data_dir.path().join(name))
            .filter(|path| path.exists())
            .collect();
        Ok(snapshot)
    }

    /// Writes the archive. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or nobody takes the archive any more.
    pub fn write_to(&self, to: impl Write) -> io::Result<()> {
        let mut archive = Builder::new(to);
        let manifest = serde_json::to_vec_pretty(&self.manifest)?;
        append_bytes(&mut archive, MANIFEST, &manifest)?;
        for path in &self.certificate {
            append_file(&mut archive, &file_name(path), path)?;
        }
        append_file(&mut archive, DATABASE, &self.folder.join(DATABASE))?;
        let index = self.folder.join(OUTPUT).join("index.db");
        append_file(&mut archive, &format!("{OUTPUT}/index.db"), &index)?;
        for path in &self.segments {
            append_file(&mut archive, &format!("{OUTPUT}/{}", file_name(path)), path)?;
        }
        append_bytes(&mut archive, END, b"complete\n")?;
        archive.into_inner()?.flush()
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn check_room(data_dir: &DataDir, copies: u64) -> Result<(), BackupError> {
    let needed = copies + copies / MARGIN;
    let free = data_dir.free_bytes().map_err(BackupError::file("measure", data_dir.path()))?;
    if free < needed { Err(BackupError::NoRoom { needed, free }) } else { Ok(()) }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header
}

fn append_bytes(archive: &mut Builder<impl Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(bytes.len() as u64), name, bytes)
}

/// As long as the file is now: one that grows meanwhile is cut there.
fn append_file(archive: &mut Builder<impl Write>, name: &str, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    archive.append_data(&mut header(size), name, file.take(size))
}
