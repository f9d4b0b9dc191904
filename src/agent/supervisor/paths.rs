//! Where a supervisor keeps its things in the work directory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Longest path that a Unix socket address takes, in bytes (`sun_path` has
/// 108, with a NUL at the end).
const MAX_SOCKET_PATH: usize = 107;

const SOCKET: &str = "supervisor.sock";

/// A path by which the socket can be bound or connected to, valid as long as
/// this lives.
///
/// A socket address has room for 107 bytes; where the path is longer, it goes
/// through a descriptor of the work directory.
#[derive(Debug)]
pub(super) struct SocketPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl SocketPath {
    /// # Errors
    /// The path is too long and the work directory cannot be opened.
    pub(super) fn of(workdir: &Path) -> io::Result<Self> {
        let path = workdir.join(SOCKET);
        if path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(Self { path, _directory: None });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = File::from(rustix::fs::open(workdir, flags, Mode::empty())?);
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// The folder of everything that the agent's side writes for itself.
pub(super) fn journal_folder(workdir: &Path) -> PathBuf {
    workdir.join("journal")
}

/// Locked by the one supervisor that lives.
pub(super) fn lock(workdir: &Path) -> PathBuf {
    journal_folder(workdir).join("supervisor.lock")
}

/// See [`super::journal`].
pub(super) fn journal(workdir: &Path) -> PathBuf {
    journal_folder(workdir).join("supervisor.jsonl")
}

/// Where a supervisor's messages for people go.
pub(super) fn log(workdir: &Path) -> PathBuf {
    journal_folder(workdir).join("supervisor.log")
}
