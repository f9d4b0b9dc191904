//! The master connection: made once, shared by all that go to the same host.
//!
//! Where the user's configuration has a place for master connections, that one
//! is used, so that one which the user has opened (`ssh -M`) is joined. Else it
//! is in scitq's folder among the user's runtime files, and ends ten minutes
//! after its last use.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{SshError, SshHost, last_line};
use crate::runtime_dir::Surroundings;

/// Whether a person is there to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Questions {
    /// Passwords, second factors and unknown hosts are asked about on the terminal.
    OnTerminal,
    Never,
}

/// Where a master connection is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Master {
    host: SshHost,
    pub(super) socket: PathBuf,
}

/// Sees to it that there is a master connection, and asks on the terminal for
/// what ssh wants to know. Blocks.
///
/// # Errors
/// ssh cannot connect.
pub fn prepare(host: &SshHost) -> Result<(), SshError> {
    Master::of(host)?.open(Questions::OnTerminal)
}

impl Master {
    pub(super) fn of(host: &SshHost) -> Result<Self, SshError> {
        let socket = match configured(host)? {
            Some(path) => path,
            None => folder()?.join(format!("m-{}", name_of(host))),
        };
        Ok(Self { host: host.clone(), socket })
    }

    /// `ssh` with what every use of the connection needs, and without the host.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-S").arg(&self.socket);
        command
    }

    pub(super) fn destination(&self) -> Vec<String> {
        self.host.arguments()
    }

    /// Makes the connection, unless it is there. Blocks.
    pub(super) fn open(&self, questions: Questions) -> Result<(), SshError> {
        // One after the other: two masters would be one too many.
        let lock_path = folder()?.join(format!("l-{}", name_of(&self.host)));
        let failed = |source| SshError::Folder { path: lock_path.clone(), source };
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(failed)?;
        lock.lock().map_err(failed)?;
        if self.is_alive()? {
            return Ok(());
        }
        // One that was killed left its place taken; it may also never have been.
        let _ = fs::remove_file(&self.socket);
        self.start(questions, &failed)
    }

    fn is_alive(&self) -> Result<bool, SshError> {
        let mut check = self.command();
        check.args(["-O", "check"]).args(self.destination());
        let status = quiet(&mut check).stderr(Stdio::null()).status();
        status.map(|status| status.success()).map_err(SshError::NoProgram)
    }

    fn start(
        &self,
        questions: Questions,
        failed: &dyn Fn(io::Error) -> SshError,
    ) -> Result<(), SshError> {
        // A file and no pipe: the connection lives on, and would keep a pipe open.
        let mut words = scratch().map_err(failed)?;
        let mut command = self.command();
        command.args(["-M", "-N", "-f", "-o", "ControlPersist=600"]);
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
        command.args(["-o", "ConnectTimeout=10"]);
        if questions == Questions::Never {
            command.args(["-o", "BatchMode=yes"]);
        }
        command.args(self.destination());
        let stderr = words.try_clone().map_err(failed)?;
        let status = quiet(&mut command).stderr(stderr).status().map_err(SshError::NoProgram)?;
        if status.success() {
            return Ok(());
        }
        let mut text = Vec::new();
        // Without its words there is still the fact that it failed.
        let _ = words.rewind().and_then(|()| words.read_to_end(&mut text));
        Err(SshError::Refused(last_line(&text)))
    }
}

/// The place that the user's configuration has for the master connection.
fn configured(host: &SshHost) -> Result<Option<PathBuf>, SshError> {
    let mut command = Command::new("ssh");
    command.arg("-G").args(host.arguments());
    let output = command.stdin(Stdio::null()).output().map_err(SshError::NoProgram)?;
    if !output.status.success() {
        return Err(SshError::Refused(last_line(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let path = text.lines().find_map(|line| line.strip_prefix("controlpath "));
    Ok(path.filter(|path| *path != "none").map(PathBuf::from))
}

/// scitq's folder for sockets, which only this user can look into.
pub(super) fn folder() -> Result<PathBuf, SshError> {
    let user = rustix::process::geteuid().as_raw();
    let path = Surroundings::of_process()
        .runtime_dir()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("scitq-{user}")));
    let failed = |source| SshError::Folder { path: path.clone(), source };
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let metadata = fs::symlink_metadata(&path).map_err(failed)?;
    if !metadata.is_dir() || metadata.uid() != user {
        let reason = "it belongs to somebody else, or is no folder";
        return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
    }
    // Made by another part of scitq, it may be open to others.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&path, private).map_err(failed)?;
    Ok(path)
}

/// Short, since the path of a socket may not be long.
fn name_of(host: &SshHost) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(host.to_string().as_bytes())).chars().take(10).collect()
}

fn scratch() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("scitq-ssh-{:016x}", random()?));
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

pub(super) fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|error| io::Error::other(error.to_string()))
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null())
}

/// The folder of a path, for those that bind in it.
pub(super) fn socket_in(folder: &Path) -> io::Result<PathBuf> {
    Ok(folder.join(format!("t-{}-{:04x}", std::process::id(), random()? & 0xffff)))
}
