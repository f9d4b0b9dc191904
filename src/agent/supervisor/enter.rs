//! The step from the supervisor into a control group.
//!
//! What a process has allocated and started before somebody else puts it into
//! a group is not counted there. So a command that is to run in one begins as
//! this program, which enters the group itself and becomes the command: the
//! same process, and nothing of it outside.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use super::protocol::SpawnRequest;
use crate::domain::byte_string::ByteString;

/// The hidden subcommand of `scitq` that does this.
pub const ENTER_SUBCOMMAND: &str = "enter-group";

/// The file of a control group by which processes come into it.
const PROCESSES: &str = "cgroup.procs";

/// This program as the kernel has it, also when its file was replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What to become, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The folder of the control group.
    pub group: PathBuf,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// None: it is only tried whether the group can be entered.
    pub program: Option<PathBuf>,
    /// The name by which the program is called, and its arguments.
    pub words: Vec<OsString>,
}

/// Why a process has not become its command.
#[derive(Debug, Error)]
pub enum EnterError {
    #[error("cannot enter the control group `{}`", group.display())]
    Group { group: PathBuf, source: io::Error },
    #[error("cannot execute `{}`", program.display())]
    Execute { program: PathBuf, source: io::Error },
}

impl EnterError {
    /// As a shell has it; 125 where the command had no part in it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Group { .. } => 125,
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Execute { .. } => 126,
        }
    }
}

/// Enters the group and becomes the program; returns without an error only
/// where there is none to become.
///
/// # Errors
/// The group or the program cannot be had.
pub fn enter(entry: &Entry) -> Result<(), EnterError> {
    join(&entry.group)
        .map_err(|source| EnterError::Group { group: entry.group.clone(), source })?;
    let Some(program) = &entry.program else { return Ok(()) };
    let mut command = Command::new(program);
    if let Some((name, arguments)) = entry.words.split_first() {
        command.arg0(name).args(arguments);
    }
    if let Some(gid) = entry.gid {
        command.gid(gid);
    }
    if let Some(uid) = entry.uid {
        command.uid(uid);
    }
    Err(EnterError::Execute { program: program.clone(), source: command.exec() })
}

/// The command of a request by way of its group.
pub(super) fn by_way_of(
    group: &Path,
    program: &Path,
    name: &OsStr,
    request: &SpawnRequest,
) -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    command.arg(ENTER_SUBCOMMAND).arg("--group").arg(group).arg("--program").arg(program);
    for (option, number) in [("--uid", request.uid), ("--gid", request.gid)] {
        if let Some(number) = number {
            command.arg(option).arg(number.to_string());
        }
    }
    command.arg("--").arg(name);
    command.args(request.arguments.iter().skip(1).map(ByteString::as_os_str));
    command
}

fn join(group: &Path) -> io::Result<()> {
    // Zero stands for the process that writes it.
    OpenOptions::new().write(true).open(group.join(PROCESSES))?.write_all(b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_not_there_is_no_fault_of_the_command() {
        let entry = Entry {
            group: "/nonexistent/group".into(),
            uid: None,
            gid: None,
            program: Some("/bin/true".into()),
            words: vec!["true".into()],
        };
        let error = enter(&entry).unwrap_err();
        assert_eq!(error.exit_code(), 125);
        assert!(error.to_string().contains("`/nonexistent/group`"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_told_as_a_shell_does() {
        let group = tempfile::tempdir().unwrap();
        std::fs::write(group.path().join(PROCESSES), "").unwrap();
        let mut entry = Entry {
            group: group.path().to_owned(),
            uid: None,
            gid: None,
            program: Some("/nonexistent/program".into()),
            words: Vec::new(),
        };
        assert_eq!(enter(&entry).unwrap_err().exit_code(), 127);
        entry.program = Some(group.path().join(PROCESSES));
        assert_eq!(enter(&entry).unwrap_err().exit_code(), 126);
        entry.program = None;
        enter(&entry).unwrap();
        assert_eq!(std::fs::read_to_string(group.path().join(PROCESSES)).unwrap(), "0");
    }
}
