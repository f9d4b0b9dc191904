//! Starts a supervisor process.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::{BUSY, READY, SUBCOMMAND, paths};

/// How the start of a supervisor ended.
#[derive(Debug)]
pub(super) enum Launch {
    /// It listens.
    Ready,
    /// It found another one in its place.
    Busy,
    /// It left before it listened.
    Left(ExitStatus),
}

/// Starts `program supervise --workdir DIR` and waits until it listens.
///
/// It takes nothing of ours but the environment: it makes a session of its
/// own, its standard input is empty, its errors are appended to its log.
///
/// # Errors
/// The program or the log cannot be used.
pub(super) async fn launch(workdir: &Path, program: &Path) -> io::Result<Launch> {
    std::fs::create_dir_all(paths::journal_folder(workdir))?;
    let log = OpenOptions::new().create(true).append(true).open(paths::log(workdir))?;
    let mut child = Command::new(program)
        .arg(SUBCOMMAND)
        .arg("--workdir")
        .arg(workdir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if line.ends_with(READY) {
                // Tokio waits in the background for children that are dropped.
                return Ok(Launch::Ready);
            }
            if line.ends_with(BUSY) {
                return Ok(Launch::Busy);
            }
        }
    }
    child.wait().await.map(Launch::Left)
}
