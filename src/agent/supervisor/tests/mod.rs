//! A real supervisor with real commands. The supervisor is this test program
//! itself, started once more by a script that stands for `scitq`.

mod commands;
mod control;
mod frames;
mod life;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use super::protocol::FromSupervisor;
use super::*;
use crate::domain::ExecutionId;
use crate::domain::byte_string::ByteString;

const WORKDIR_VARIABLE: &str = "SCITQ_TEST_SUPERVISE";
const DEADLINE: Duration = Duration::from_secs(30);

/// No test: the life of a supervisor, when the script asks for it.
#[test]
fn as_a_supervisor() {
    if let Some(workdir) = std::env::var_os(WORKDIR_VARIABLE) {
        run(Path::new(&workdir)).unwrap();
    }
}

struct Bench {
    folder: TempDir,
    workdir: PathBuf,
    program: PathBuf,
}

impl Bench {
    fn new() -> Self {
        Self::below("")
    }

    /// The work directory lies this far down.
    fn below(path: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workdir = folder.path().join(path).join("work");
        fs::create_dir_all(&workdir).unwrap();
        let program = folder.path().join("scitq");
        let test_program = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\n[ \"$1 $2\" = 'supervise --workdir' ] || exit 2\n\
             {WORKDIR_VARIABLE}=\"$3\" exec '{}' --exact agent::supervisor::tests::as_a_supervisor --nocapture\n",
            test_program.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, workdir, program }
    }

    async fn connect(&self) -> (SupervisorClient, Vec<KnownExecution>, Events) {
        let (client, known, events) = connect_or_start(&self.workdir, &self.program).await.unwrap();
        (client, known, Events(events))
    }

    fn request(&self, execution: u64, arguments: &[&str]) -> SpawnRequest {
        SpawnRequest {
            execution: ExecutionId(execution),
            arguments: arguments.iter().map(|argument| ByteString::from(*argument)).collect(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            directory: self.folder.path().to_owned(),
            stdout: self.folder.path().join(format!("{execution}.out")),
            stderr: self.folder.path().join(format!("{execution}.err")),
            stdin: None,
            uid: None,
            gid: None,
            group: None,
        }
    }

    fn shell(&self, execution: u64, script: &str) -> SpawnRequest {
        self.request(execution, &["sh", "-c", script])
    }

    fn stdout(&self, execution: u64) -> Vec<u8> {
        fs::read(self.folder.path().join(format!("{execution}.out"))).unwrap_or_default()
    }

    /// The process ids that the command wrote, one a line.
    async fn pids(&self, execution: u64, count: usize) -> Vec<i32> {
        let read = || {
            let text = String::from_utf8(self.stdout(execution)).unwrap();
            text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>()
        };
        until("the command tells its processes", || read().len() == count).await;
        read()
    }

    fn supervisor(&self) -> Option<Pid> {
        let text = fs::read_to_string(paths::lock(&self.workdir)).ok()?;
        Pid::from_raw(text.trim_end().parse().ok()?)
    }

    fn socket(&self) -> PathBuf {
        self.workdir.join("supervisor.sock")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let Some(supervisor) = self.supervisor() else { return };
        let session = supervisor.as_raw_nonzero().get();
        for process in recovery::list_processes().unwrap_or_default() {
            if process.session == session
                && let Some(pid) = Pid::from_raw(process.pid)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

struct Events(UnboundedReceiver<SupervisorEvent>);

impl Events {
    async fn next(&mut self) -> SupervisorEvent {
        tokio::time::timeout(DEADLINE, self.0.recv()).await.expect("an event in time").unwrap()
    }

    async fn end(&mut self) -> EndRecord {
        match self.next().await {
            SupervisorEvent::Ended(end) => end,
            SupervisorEvent::Gone => panic!("the supervisor is gone"),
        }
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the process is there and not a zombie.
fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// The kernel's letter for what the process does: `T` is stopped.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

fn exists(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}
