//! What agents learn of the site's storage: the `storage.toml` in the server's
//! data directory. It has secrets, and goes over links alone that nobody else
//! can read. Neither routes nor the log show anything of it.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::api::link::SiteStorage;
use crate::storage::settings::check_storage_toml;

use super::App;

const FILE: &str = "storage.toml";

/// Changes when the file is written to, replaced, or given other permissions.
type FileState = Option<(u64, u64, i64, i64, u32)>;

/// The file, for one agent, and what that agent knows of it.
#[derive(Debug)]
pub(super) struct StorageFile {
    path: PathBuf,
    audience: Audience,
    told: Mutex<FileState>,
}

/// Who hears what is said over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// The agent alone: the link is encrypted, or does not leave this machine.
    AgentOnly,
    /// Everybody on the way.
    Anybody,
}

impl Audience {
    /// Of a connection that is not encrypted; through SSH it comes from here.
    pub(super) fn of_plain(peer: Option<SocketAddr>) -> Self {
        let is_here = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        if is_here { Self::AgentOnly } else { Self::Anybody }
    }
}

impl StorageFile {
    pub(super) fn new(app: &App, audience: Audience) -> Self {
        let path = app.data_dir.path().join(FILE);
        Self { path, audience, told: Mutex::new(None) }
    }

    /// What the agent does not know yet. A file that went away is an empty one.
    /// Blocks for a moment.
    pub(super) fn news(&self) -> Option<SiteStorage> {
        let state = self.state();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == state {
            return None;
        }
        *told = state;
        drop(told);
        if state.is_none() {
            return Some(SiteStorage(String::new()));
        }
        if self.audience == Audience::Anybody {
            tracing::warn!("a worker's link is not encrypted: it is told nothing of {FILE}");
            return None;
        }
        self.read()
    }

    fn read(&self) -> Option<SiteStorage> {
        let path = self.path.display();
        let metadata = fs::metadata(&self.path).ok()?;
        if metadata.mode() & 0o077 != 0 {
            tracing::error!(%path, "others can read it: agents are told nothing of it; chmod 600");
            return None;
        }
        match fs::read_to_string(&self.path) {
            Ok(text) => match check_storage_toml(&self.path, &text) {
                Ok(()) => Some(SiteStorage(text)),
                Err(error) => {
                    tracing::error!(%error, "agents are told nothing of it");
                    None
                }
            },
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::error!(%path, %error, "cannot be read: agents are told nothing of it");
                }
                None
            }
        }
    }

    fn state(&self) -> FileState {
        let metadata = fs::metadata(&self.path).ok()?;
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        Some((metadata.ino(), metadata.len(), seconds, nanoseconds, metadata.mode()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_link_is_told_each_state_once_and_others_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let file = |audience| StorageFile { path: path.clone(), audience, told: Mutex::new(None) };
        let (own, other) = (file(Audience::AgentOnly), file(Audience::Anybody));
        assert_eq!(own.news(), None);
        let text = "[lab]\ntype = \"ftp\"\npass = \"sesame\"\n";
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(own.news(), None);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(own.news(), Some(SiteStorage(text.to_owned())));
        assert_eq!((own.news(), other.news()), (None, None));
        assert!(!format!("{:?}", SiteStorage(text.to_owned())).contains("sesame"));
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(own.news(), None);
        fs::remove_file(&path).unwrap();
        assert_eq!(own.news(), Some(SiteStorage(String::new())));
    }

    #[test]
    fn a_link_from_elsewhere_is_heard_by_anybody() {
        for (peer, expected) in [
            ("127.0.0.1:9", Audience::AgentOnly),
            ("[::1]:9", Audience::AgentOnly),
            ("[::ffff:127.0.0.1]:9", Audience::AgentOnly),
            ("192.0.2.1:9", Audience::Anybody),
        ] {
            assert_eq!(Audience::of_plain(peer.parse().ok()), expected, "{peer}");
        }
        assert_eq!(Audience::of_plain(None), Audience::Anybody);
    }
}
