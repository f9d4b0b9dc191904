//! A place for one test, of which nothing is left behind.
//!
//! Everything of one test lives in one temporary folder: data, work folders,
//! home, logs. Every process that a test starts, directly or through an agent's
//! supervisor, has that folder's path in its environment or on its command
//! line: that is how they are found and killed at the end.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Far longer than anything here takes on a busy machine, so that only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(1);

/// The same for programs that end by themselves, whole pipelines among them.
const PATIENCE_FOR_PROGRAMS: Duration = Duration::from_mins(5);

/// A temporary folder and all processes that belong to it.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    /// Put in front of every command: a program that runs it somewhere else.
    entrance: Vec<String>,
}

/// What a program that has ended left.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Asks `probe` again and again until it answers.
///
/// # Panics
/// It has not answered within a minute.
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, probe)
}

/// The same for what takes longer than a minute on a busy machine.
///
/// # Panics
/// It has not answered by then.
#[track_caller]
pub fn until_within<T>(patience: Duration, what: &str, probe: impl FnMut() -> Option<T>) -> T {
    let answer = answer_within(patience, probe);
    answer.unwrap_or_else(|| panic!("waited {} s for {what}", patience.as_secs()))
}

/// The one place that lets time pass.
fn answer_within<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = probe();
        if answer.is_some() || Instant::now() > deadline {
            return answer;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

impl World {
    pub fn new() -> Self {
        Self::behind(Vec::new())
    }

    /// The same with all commands run by way of these words.
    pub fn behind(entrance: Vec<String>) -> Self {
        let world = Self { folder: TempDir::with_prefix("scitq-test-").unwrap(), entrance };
        for name in ["home", "run", "tmp", "logs"] {
            fs::create_dir(world.path().join(name)).unwrap();
        }
        world
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command that sees nothing of the environment in which the tests run but
    /// the search path.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.entrance.split_first() {
            None => Command::new(program),
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path().join("home"))
            .env("TMPDIR", self.path().join("tmp"))
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("LANG", "C.UTF-8")
            // Tests of other things go on where this machine's disk is nearly full.
            .env("SCITQ_SERVE_LEAST_FREE", "0")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Starts a program that stays, with its output in a log file of that name.
    pub fn spawn(&self, log: &str, mut command: Command) -> Child {
        let path = self.path().join("logs").join(log);
        let file = File::options().create(true).append(true).open(path).unwrap();
        command
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
    }

    /// The processes of this world that live, except this one.
    pub fn processes(&self) -> Vec<Pid> {
        let own = std::process::id().to_string();
        let mark = self.path().as_os_str().as_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|text| text.parse::<i32>().ok()) else {
                continue;
            };
            if name.to_str() == Some(&own) {
                continue;
            }
            let has_mark = |file: &str| {
                fs::read(entry.path().join(file))
                    .is_ok_and(|bytes| bytes.windows(mark.len()).any(|part| part == mark))
            };
            if has_mark("environ") || has_mark("cmdline") {
                found.extend(Pid::from_raw(pid));
            }
        }
        found
    }

    /// What the processes of this world were started with.
    pub fn command_lines(&self) -> Vec<String> {
        let lines = self.processes().into_iter().map(command_line);
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// Kills the processes of this world whose command line has `part`, at least one.
    pub fn kill_those_of(&self, part: &str) {
        let mut killed = 0;
        for pid in self.processes() {
            if command_line(pid).contains(part) {
                kill_process(pid, Signal::KILL).unwrap();
                killed += 1;
            }
        }
        assert!(killed > 0, "no process has `{part}` on its command line");
    }

    /// Kills all processes of this world, also those that appear meanwhile.
    fn kill_processes(&self) {
        // What cannot be killed is left: a test cannot do more.
        let _ = answer_within(PATIENCE, || {
            let processes = self.processes();
            for pid in &processes {
                // It may be gone by itself, which is what is wanted.
                let _ = kill_process(*pid, Signal::KILL);
            }
            processes.is_empty().then_some(())
        });
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        let folder = fs::read_dir(self.path().join("logs"));
        for entry in folder.into_iter().flatten().flatten() {
            let content = fs::read(entry.path()).unwrap_or_default();
            let _ = writeln!(
                text,
                "----- {} -----\n{}",
                entry.file_name().display(),
                String::from_utf8_lossy(&content)
            );
        }
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_processes();
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

impl Ran {
    /// Runs a program to its end.
    pub fn of(mut command: Command) -> Self {
        let (mut stdout, mut stderr) =
            (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let mut process = command.spawn().unwrap();
        let ended = answer_within(PATIENCE_FOR_PROGRAMS, || process.try_wait().unwrap());
        let status = ended.unwrap_or_else(|| {
            process.kill().unwrap();
            process.wait().unwrap()
        });
        let ran = Self {
            status,
            stdout: read_from_start(&mut stdout),
            stderr: String::from_utf8_lossy(&read_from_start(&mut stderr)).into_owned(),
        };
        assert!(ended.is_some(), "{command:?} did not end: {ran}");
        ran
    }

    /// The exit code.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by signal {:?}: {self}", self.status.signal()))
    }

    /// Fails the test unless it ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Fails the test unless it ended with this code and said this on stderr.
    #[track_caller]
    pub fn refused(self, code: i32, part: &str) -> Self {
        assert!(self.status.code() == Some(code) && self.stderr.contains(part), "{self}");
        self
    }

    /// Its stdout as text, without the last line's end.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap().trim_end()
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nstdout:\n{}\nstderr:\n{}",
            self.status,
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        )
    }
}

fn read_from_start(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn command_line(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
