//! Copies of the store while it is written to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::error::OutputError;
use super::index::IndexError;
use super::segments::{list_segments, segment_path};
use super::store::{INDEX, OutputStore};

impl OutputStore {
    /// Bytes of the index.
    #[must_use]
    pub fn index_size(&self) -> u64 {
        let path = self.directory().join(INDEX);
        fs::metadata(path).map_or(0, |metadata| metadata.len())
    }

    /// Writes the index as it is now to a new file. Blocks, and nobody else.
    ///
    /// # Errors
    /// The index cannot be read, or the file not be written.
    pub fn copy_index(&self, to: &Path) -> Result<(), OutputError> {
        let path = self.directory().join(INDEX);
        copy(&path, to).map_err(|source| {
            IndexError::Failed { action: "copy", path, source: Arc::new(source) }.into()
        })
    }

    /// Gives each segment a second name in a folder of the same disk, where it
    /// stays when the store removes its own; those that have one keep it.
    /// Answers with all in the folder.
    ///
    /// # Errors
    /// The disk fails.
    pub fn link_segments(&self, folder: &Path) -> Result<Vec<PathBuf>, OutputError> {
        for number in list_segments(self.directory())?.into_keys() {
            let from = segment_path(self.directory(), number);
            let to = segment_path(folder, number);
            match fs::hard_link(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // It was emptied and removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(OutputError::file("link", &from, source)),
            }
        }
        let linked = list_segments(folder)?.into_keys();
        Ok(linked.map(|number| segment_path(folder, number)).collect())
    }
}

fn copy(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(from, flags)?;
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop)
}
