//! Turns a [`SpawnRequest`] into a process.
//!
//! `std` starts a process by `posix_spawn`, which does not copy the
//! supervisor's page tables, only while nothing stands in its way: it leaves
//! that path for a user or group to change to, and for a program that is to be
//! looked up in a `PATH` other than its own. So programs are looked up here.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, FlockOperation, access, fchown, flock};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::enter::by_way_of;
use super::protocol::{SpawnRefusal, SpawnRequest};
use crate::domain::byte_string::ByteString;

/// `PATH` of an environment that has none, as `execvp` has it.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Starts the command as the leader of a process group of its own and gives
/// its process id. Nobody waits for it yet.
///
/// # Errors
/// Nothing was started, for the reason given.
pub(super) fn spawn(request: &SpawnRequest) -> Result<i32, SpawnRefusal> {
    let Some(name) = request.arguments.first() else {
        return Err(SpawnRefusal::ProgramNotFound { program: String::new() });
    };
    let program = find_program(name.as_os_str(), request)?;
    let stdout = open_output(&request.stdout, request)?;
    let stderr = open_output(&request.stderr, request)?;
    let stdin = open_input(request)?;
    let mut command = match &request.group {
        Some(group) => by_way_of(group, &program, name.as_os_str(), request),
        None => directly(&program, name.as_os_str(), request),
    };
    command
        .env_clear()
        .envs(request.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())))
        .current_dir(&request.directory)
        .process_group(0)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    match command.spawn() {
        Ok(child) => i32::try_from(child.id())
            .map_err(|error| SpawnRefusal::System { message: error.to_string() }),
        Err(error) => Err(explain(&error, &program, request)),
    }
}

fn directly(program: &Path, name: &OsStr, request: &SpawnRequest) -> Command {
    let mut command = Command::new(program);
    command.arg0(name).args(request.arguments.iter().skip(1).map(ByteString::as_os_str));
    if let Some(gid) = request.gid {
        command.gid(gid);
    }
    if let Some(uid) = request.uid {
        command.uid(uid);
    }
    command
}

/// The file that `name` means, as `execvp` finds it.
fn find_program(name: &OsStr, request: &SpawnRequest) -> Result<PathBuf, SpawnRefusal> {
    let not_found = || SpawnRefusal::ProgramNotFound { program: shown(name) };
    if name.is_empty() {
        return Err(not_found());
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(request.directory.join(name));
    }
    let search_path = request
        .environment
        .iter()
        .rfind(|(variable, _)| variable.as_bytes() == b"PATH")
        .map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
    let mut unusable = None;
    for folder in search_path.split(|byte| *byte == b':') {
        // An empty entry and a relative one start at the working directory.
        let mut candidate = request.directory.join(OsStr::from_bytes(folder));
        candidate.push(name);
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(Errno::ACCESS) => unusable = Some(candidate),
            _ => {}
        }
    }
    Err(unusable.map_or_else(not_found, |candidate| SpawnRefusal::NotExecutable {
        program: shown(candidate.as_os_str()),
        message: Errno::ACCESS.to_string(),
    }))
}

/// Opens what the command reads.
fn open_input(request: &SpawnRequest) -> Result<Stdio, SpawnRefusal> {
    let Some(path) = &request.stdin else { return Ok(Stdio::null()) };
    File::open(path).map(Stdio::from).map_err(|error| SpawnRefusal::Input {
        path: shown(path.as_os_str()),
        message: error.to_string(),
    })
}

/// Opens an output file. It belongs to the user of the command, who may open
/// it once more by the name `/dev/stderr`.
///
/// The shared lock goes on to all who inherit the file: as long as it holds,
/// somebody may still write, be it a daemon that the command left.
fn open_output(path: &Path, request: &SpawnRequest) -> Result<File, SpawnRefusal> {
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        if request.uid.is_some() || request.gid.is_some() {
            fchown(&file, request.uid.map(Uid::from_raw), request.gid.map(Gid::from_raw))?;
        }
        // Where there are no locks, nobody will get an exclusive one either.
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
        Ok(file)
    };
    open().map_err(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied && path.exists() {
            return identity(request, &error);
        }
        SpawnRefusal::Output { path: shown(path.as_os_str()), message: error.to_string() }
    })
}

/// Finds out what an error of the whole start was about.
fn explain(error: &io::Error, program: &Path, request: &SpawnRequest) -> SpawnRefusal {
    let directory = &request.directory;
    if let Err(error) = directory.metadata().and_then(|metadata| {
        if metadata.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }) {
        let path = shown(directory.as_os_str());
        return SpawnRefusal::Directory { path, message: error.to_string() };
    }
    let shown_program = shown(program.as_os_str());
    let cannot_execute = |message: &str| SpawnRefusal::NotExecutable {
        program: shown_program.clone(),
        message: message.to_owned(),
    };
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR) if program.exists() => {
            cannot_execute("the interpreter that it names does not exist")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => {
            SpawnRefusal::ProgramNotFound { program: shown_program }
        }
        Some(Errno::NOEXEC) => {
            cannot_execute("not a program of this machine, nor a script with a `#!` line")
        }
        Some(Errno::PERM) if request.uid.is_some() || request.gid.is_some() => {
            identity(request, error)
        }
        Some(Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::TXTBSY | Errno::ISDIR) => {
            cannot_execute(&error.to_string())
        }
        Some(Errno::TOOBIG) => SpawnRefusal::TooLong {},
        _ => SpawnRefusal::System { message: error.to_string() },
    }
}

fn identity(request: &SpawnRequest, error: &io::Error) -> SpawnRefusal {
    SpawnRefusal::Identity { uid: request.uid, gid: request.gid, message: error.to_string() }
}

fn shown(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
