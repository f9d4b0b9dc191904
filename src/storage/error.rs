//! What can go wrong with data.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use thiserror::Error;

use crate::domain::uri::{Uri, UriError};

use super::address::shown;
use super::remote::{RemoteError, RemoteErrorKind};
use super::settings::SettingsError;

/// Why data cannot be read or written. Cheap to clone: everybody who waited
/// for one transfer gets its error.
#[derive(Debug, Clone, Error)]
pub enum StorageError {
    #[error(transparent)]
    Malformed(#[from] UriError),
    #[error("`{uri}` has the option `@{option}`, which its protocol does not have")]
    ProtocolOption { uri: String, option: String },
    #[error(
        "`{uri}` has the action `|{action}`, which does not exist: there are gunzip, untar, unzip, zstd, mv:FOLDER and rename:NAME"
    )]
    Action { uri: String, action: String },
    #[error("`{uri}` has the action `|{action}`, and outputs are sent as they are")]
    OutputAction { uri: String, action: String },
    #[error("`{uri}` cannot be an output: nothing can be written over `{protocol}`")]
    ReadOnly { uri: String, protocol: String },
    #[error("`{uri}` has a password in it: keep it in storage.toml, where nobody sees it")]
    Password { uri: String },
    #[error("`{uri}` names no sequencing run: its accession is ERR, SRR or DRR and a number")]
    Accession { uri: String },
    #[error("`{uri}` has no host")]
    NoHost { uri: String },
    #[error("`{uri}` has no bucket or container: it stands before the first slash")]
    NoBucket { uri: String },
    #[error(
        "`{uri}`: `{name}` is neither a protocol nor a remote in the storage.toml or rclone.conf of this machine"
    )]
    UnknownRemote { uri: String, name: String },
    #[error("`{uri}` cannot be reached with the settings of this machine")]
    Settings { uri: String, source: SettingsError },
    #[error("`{uri}` has no absolute path: a local file is `file:///absolute/path`")]
    NotAbsolute { uri: String },
    #[error("`{uri}` has a NUL byte, which no path can have")]
    Nul { uri: String },
    #[error("`{uri}`: there is no `{path}`")]
    NotFound { uri: String, path: PathBuf },
    #[error("`{uri}` matches no {kind}")]
    NothingMatched { uri: String, kind: &'static str },
    #[error("`{uri}` is a folder: the URI of a folder ends in `/`")]
    IsFolder { uri: String },
    #[error("`{uri}` is no folder: only the URI of a folder ends in `/`")]
    IsNoFolder { uri: String },
    #[error("`{uri}` matches both `{first}` and `{second}`, which would become one `{name}`")]
    Collision { uri: String, first: PathBuf, second: PathBuf, name: PathBuf },
    #[error("`{uri}`: `{path}` is a FIFO, socket or device, which cannot be copied")]
    Special { uri: String, path: PathBuf },
    #[error("`{uri}`: the link `{path}` leads nowhere")]
    DanglingLink { uri: String, path: PathBuf },
    #[error("`{uri}`: the link `{path}` leads back to itself or to a folder that it lies in")]
    LinkLoop { uri: String, path: PathBuf },
    #[error("`{uri}`: `{path}` changed or vanished while it was read")]
    Changed { uri: String, path: PathBuf },
    #[error("`{uri}`: cannot {action} `{path}`")]
    Io { uri: String, path: PathBuf, action: &'static str, source: Arc<io::Error> },
    #[error("`{uri}`: cannot {action} `{path}`: {reason}")]
    Remote {
        uri: String,
        action: &'static str,
        path: String,
        kind: RemoteErrorKind,
        reason: String,
    },
    #[error("`{uri}`: `{path}` arrived with another checksum than its storage says, twice")]
    Checksum { uri: String, path: PathBuf },
    #[error("`{uri}`: `{name}` cannot be the name of a file here: {reason}")]
    Name { uri: String, name: PathBuf, reason: &'static str },
    #[error("`{uri}`: `|{action}` cannot use `{path}`: {reason}")]
    Archive { uri: String, action: String, path: PathBuf, reason: String },
    #[error("`{uri}`: the transfer broke off inside scitq: {reason}")]
    Internal { uri: String, reason: String },
    #[error("`{uri}`: the transfer was cancelled")]
    Cancelled { uri: String },
}

/// The address that an operation is for: puts it into errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a>(pub &'a Uri);

impl StorageError {
    /// The function that turns an I/O error on `path` into ours. `action` is a
    /// verb that stands before the path.
    pub fn io(
        uri: &Uri,
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let (uri, path) = (shown(uri), path.to_owned());
        move |source| Self::Io { uri, path, action, source: Arc::new(source) }
    }

    /// What a remote said, about a path on it.
    pub(super) fn of_remote(
        subject: Subject<'_>,
        action: &'static str,
        path: &str,
        error: RemoteError,
    ) -> Self {
        let uri = subject.uri();
        match error.kind {
            RemoteErrorKind::NotFound => Self::NotFound { uri, path: PathBuf::from(path) },
            RemoteErrorKind::Changed => Self::Changed { uri, path: PathBuf::from(path) },
            kind => {
                Self::Remote { uri, action, path: path.to_owned(), kind, reason: error.message }
            }
        }
    }

    /// Whether the same may go well in a while without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // A file that is still being written has settled a little later.
            Self::Changed { .. } => true,
            Self::Io { source, .. } => is_transient_io(source),
            Self::Remote { kind, .. } => *kind == RemoteErrorKind::Temporary,
            _ => false,
        }
    }
}

impl Subject<'_> {
    pub(super) fn uri(self) -> String {
        shown(self.0)
    }

    pub(super) fn io(
        self,
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> StorageError {
        StorageError::io(self.0, action, path)
    }

    pub(super) fn changed(self, path: &Path) -> StorageError {
        StorageError::Changed { uri: self.uri(), path: path.to_owned() }
    }

    pub(super) fn cancelled(self) -> StorageError {
        StorageError::Cancelled { uri: self.uri() }
    }
}

fn is_transient_io(error: &io::Error) -> bool {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
        return matches!(
            error.kind(),
            io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::UnexpectedEof
        );
    };
    matches!(
        errno,
        // A network file system reports a server that does not answer as EIO.
        // A broken disk does so too: it fails again, and the tries are few.
        Errno::IO
            // The file was replaced on the server; opening it again finds the new one.
            | Errno::STALE
            // Tasks end and the agent clears old files away: space comes back.
            | Errno::NOSPC
            | Errno::DQUOT
            // Somebody else has used up what the kernel can give at the moment.
            | Errno::NOMEM
            | Errno::NFILE
            | Errno::MFILE
            | Errno::NOLCK
            | Errno::AGAIN
            | Errno::INTR
            | Errno::BUSY
            // The network between us and the file.
            | Errno::TIMEDOUT
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::CONNRESET
            | Errno::CONNREFUSED
            | Errno::CONNABORTED
            | Errno::NOTCONN
            | Errno::PIPE
            | Errno::REMOTEIO
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io_error(errno: Errno) -> StorageError {
        let uri: Uri = "file:///a".parse().unwrap();
        Subject(&uri).io("read", Path::new("/a"))(errno.into())
    }

    #[test]
    fn what_passes_by_itself_is_transient() {
        for errno in [Errno::IO, Errno::STALE, Errno::NOSPC, Errno::TIMEDOUT, Errno::MFILE] {
            assert!(io_error(errno).is_transient(), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::ROFS, Errno::NAMETOOLONG, Errno::FBIG] {
            assert!(!io_error(errno).is_transient(), "{errno}");
        }
    }

    #[test]
    fn an_error_says_what_and_where() {
        assert_eq!(io_error(Errno::ACCESS).to_string(), "`file:///a`: cannot read `/a`");
    }
}
