//! The agent's own files in the workdir.
//!
//! | file | what it is |
//! |---|---|
//! | `journal/agent.lock` | locked by the one agent that works there |
//! | `journal/agent.jsonl` | see [`super::journal`] |
//! | `store.json` | from which database the executions come |
//! | `agent.token` | the token that is bound to this worker |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::domain::{Epoch, StoreId};

use super::error::AgentError;
use super::token::replace;
use super::workdir;

#[derive(Debug, Serialize, Deserialize)]
struct Store {
    store: StoreId,
    epoch: Epoch,
}

pub fn token(workdir: &Path) -> PathBuf {
    workdir.join("agent.token")
}

pub fn journal(workdir: &Path) -> PathBuf {
    workdir::journal(workdir).join("agent.jsonl")
}

/// Makes the workdir and takes its lock, which is held as long as the file is open.
///
/// # Errors
/// It cannot be made or written to, or another agent has it.
pub fn lock(workdir: &Path) -> Result<File, AgentError> {
    let folder = workdir::journal(workdir);
    DirBuilder::new().recursive(true).mode(0o755).create(&folder).map_err(|source| {
        AgentError::File { what: "make the folder", path: folder.clone(), source }
    })?;
    let path = folder.join("agent.lock");
    let failed = |what| {
        let path = path.clone();
        move |source: io::Error| AgentError::File { what, path, source }
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed("open"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(AgentError::Busy { workdir: workdir.to_owned() }),
        Err(error) => Err(failed("lock")(error.into())),
    }
}

/// The database that last welcomed an agent of this workdir.
///
/// # Errors
/// The file is there and cannot be understood: guessing would end in reports
/// to the wrong server.
pub fn read_store(workdir: &Path) -> Result<Option<(StoreId, Epoch)>, AgentError> {
    let path = store(workdir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AgentError::File { what: "read", path, source }),
    };
    match serde_json::from_slice::<Store>(&bytes) {
        Ok(Store { store, epoch }) => Ok(Some((store, epoch))),
        Err(source) => Err(AgentError::Store { path, source }),
    }
}

/// Remembers the database.
///
/// # Errors
/// The file cannot be written; the old one stays.
pub fn write_store(workdir: &Path, store_id: &StoreId, epoch: Epoch) -> io::Result<()> {
    let bytes = serde_json::to_vec(&Store { store: store_id.clone(), epoch })?;
    replace(&store(workdir), &bytes)
}

fn store(workdir: &Path) -> PathBuf {
    workdir.join("store.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workdir_has_one_agent() {
        let directory = tempfile::tempdir().unwrap();
        let workdir = directory.path().join("new");
        let lock_file = lock(&workdir).unwrap();
        assert!(matches!(lock(&workdir), Err(AgentError::Busy { .. })));
        drop(lock_file);
        lock(&workdir).unwrap();
    }

    #[test]
    fn the_database_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read_store(directory.path()).unwrap(), None);
        let store_id = StoreId("abc".to_owned());
        write_store(directory.path(), &store_id, Epoch(3)).unwrap();
        assert_eq!(read_store(directory.path()).unwrap(), Some((store_id, Epoch(3))));
        fs::write(store(directory.path()), "{").unwrap();
        assert!(matches!(read_store(directory.path()), Err(AgentError::Store { .. })));
    }
}
