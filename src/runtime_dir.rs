//! Where a local server keeps its data, and where it leaves word of itself so
//! that the command line of the same machine finds it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name of the file in which a running server leaves word of itself.
const SERVER_FILE: &str = "server.json";

/// What a running server leaves in its runtime file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFile {
    /// Where it listens, as a URL.
    pub address: String,
    /// The file with the first administrator's token.
    pub token_file: PathBuf,
    /// The server's process id.
    pub pid: u32,
}

/// What decides where files of this user live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    pub is_root: bool,
    pub home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`
    pub xdg_runtime: Option<PathBuf>,
    /// `$XDG_STATE_HOME`
    pub xdg_state: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`
    pub xdg_config: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(rustix::process::geteuid().is_root(), |name| std::env::var_os(name))
    }

    /// Those that these variables say. Relative paths are ignored, as the XDG
    /// specification wants.
    #[must_use]
    pub fn new(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            is_root,
            home: path("HOME"),
            xdg_runtime: path("XDG_RUNTIME_DIR"),
            xdg_state: path("XDG_STATE_HOME"),
            xdg_config: path("XDG_CONFIG_HOME"),
        }
    }

    /// The data directory of a server that names none: `/var/lib/scitq` for
    /// root, `scitq` in the state directory for others. None for a user
    /// without a home.
    #[must_use]
    pub fn default_data_dir(&self) -> Option<PathBuf> {
        if self.is_root {
            return Some(PathBuf::from("/var/lib/scitq"));
        }
        let state =
            self.xdg_state.clone().or_else(|| Some(self.home.as_ref()?.join(".local/state")))?;
        Some(state.join("scitq"))
    }

    /// The files in which a server may have left word of itself, the most
    /// telling first.
    #[must_use]
    pub fn runtime_file_candidates(&self) -> Vec<PathBuf> {
        let directories = [self.runtime_dir(), self.default_data_dir()];
        directories.into_iter().flatten().map(|path| server_file_in(&path)).collect()
    }

    /// scitq's directory among the user's runtime files, where there is one.
    #[must_use]
    pub fn runtime_dir(&self) -> Option<PathBuf> {
        self.xdg_runtime.as_ref().map(|path| path.join("scitq"))
    }

    /// The client's configuration file.
    #[must_use]
    pub fn client_config(&self) -> Option<PathBuf> {
        let config =
            self.xdg_config.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(config.join("scitq/client.toml"))
    }
}

/// The data directory of a server of this user that names none.
#[must_use]
pub fn default_data_dir() -> Option<PathBuf> {
    Surroundings::of_process().default_data_dir()
}

/// The files in which a server of this user may leave word of itself.
#[must_use]
pub fn runtime_file_candidates() -> Vec<PathBuf> {
    Surroundings::of_process().runtime_file_candidates()
}

/// The runtime file in this directory.
#[must_use]
pub fn server_file_in(directory: &Path) -> PathBuf {
    directory.join(SERVER_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(is_root: bool, variables: &[(&str, &str)]) -> Surroundings {
        Surroundings::new(is_root, |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn root_keeps_data_with_the_system() {
        let root = surroundings(true, &[("HOME", "/root"), ("XDG_STATE_HOME", "/s")]);
        assert_eq!(root.default_data_dir(), Some("/var/lib/scitq".into()));
        assert_eq!(root.runtime_file_candidates(), [PathBuf::from("/var/lib/scitq/server.json")]);
    }

    #[test]
    fn others_keep_data_in_their_home() {
        let user =
            surroundings(false, &[("HOME", "/users/ada"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
        assert_eq!(user.default_data_dir(), Some("/users/ada/.local/state/scitq".into()));
        assert_eq!(user.client_config(), Some("/users/ada/.config/scitq/client.toml".into()));
        assert_eq!(
            user.runtime_file_candidates(),
            [
                PathBuf::from("/run/user/7/scitq/server.json"),
                PathBuf::from("/users/ada/.local/state/scitq/server.json"),
            ]
        );
    }

    #[test]
    fn relative_paths_and_homeless_users_have_no_place() {
        let user = surroundings(false, &[("XDG_STATE_HOME", "relative")]);
        assert_eq!(user.default_data_dir(), None);
        assert!(user.runtime_file_candidates().is_empty());
    }
}
