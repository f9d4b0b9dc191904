//! Starts the real `scitq` for a test, and leaves nothing behind.
//!
//! Everything of one test lives in one temporary folder: data, work folders,
//! home, logs. Every process that a test starts, directly or through an agent's
//! supervisor, has that folder's path in its environment or on its command
//! line: that is how they are found and killed at the end.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub const SCITQ: &str = env!("CARGO_BIN_EXE_scitq");

/// Far longer than anything here takes, so that only a hang reaches it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks `probe` again and again until it answers.
///
/// # Panics
/// It has not answered within a minute.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A temporary folder and all processes that belong to it.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
}

/// What a program that has ended left.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// A server, its agents and its data.
///
/// Dropped, it kills all that it started; in a test that fails it first shows the logs.
#[derive(Debug)]
pub struct Server {
    world: World,
    process: Option<Child>,
    serve_options: Vec<String>,
    address: String,
    agents: Vec<Agent>,
}

/// How an agent is started.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    pub name: String,
    pub concurrency: u32,
    pub batch: Option<String>,
    /// Variables on top of those that every program of a test has.
    pub env: BTreeMap<String, String>,
}

/// The number of an agent within its [`Server`].
#[derive(Debug, Clone, Copy)]
pub struct AgentId(usize);

#[derive(Debug)]
struct Agent {
    options: AgentOptions,
    process: Option<Child>,
}

impl World {
    pub fn new() -> Self {
        let world = Self { folder: TempDir::with_prefix("scitq-test-").unwrap() };
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
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path().join("home"))
            .env("TMPDIR", self.path().join("tmp"))
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("LANG", "C.UTF-8")
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
        let deadline = Instant::now() + PATIENCE;
        loop {
            let processes = self.processes();
            if processes.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in processes {
                // It may be gone by itself, which is what is wanted.
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
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
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self {
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
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

impl Default for AgentOptions {
    fn default() -> Self {
        Self { name: "worker".to_owned(), concurrency: 2, batch: None, env: BTreeMap::new() }
    }
}

impl Server {
    /// A server on a free port, with no agent.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server on a free port with further options of `scitq serve`.
    pub fn start_with(options: &[&str]) -> Self {
        let mut server = Self {
            world: World::new(),
            process: None,
            serve_options: options.iter().map(ToString::to_string).collect(),
            address: "127.0.0.1:0".to_owned(),
            agents: Vec::new(),
        };
        server.run();
        server
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// The folder of this test, for files of its own.
    pub fn path(&self) -> &Path {
        self.world.path()
    }

    /// The server's data directory.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The first administrator's token.
    pub fn admin_token(&self) -> String {
        fs::read_to_string(self.data().join("admin.token")).unwrap().trim().to_owned()
    }

    /// Any program, in the administrator's environment.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.world.command(program);
        command
            .env("SCITQ_SERVER", self.url())
            .env("SCITQ_TOKEN_FILE", self.data().join("admin.token"));
        command
    }

    /// A command of the CLI as the administrator types it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(SCITQ);
        command.args(arguments);
        command
    }

    /// Runs it to its end.
    pub fn scitq(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// The same with another token, or with none.
    pub fn scitq_as(&self, token: Option<&str>, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        // Elsewhere than where the server leaves word of itself and of the administrator's token.
        command.env_remove("SCITQ_TOKEN_FILE").env("XDG_RUNTIME_DIR", self.path().join("tmp"));
        if let Some(token) = token {
            command.env("SCITQ_TOKEN", token);
        }
        Ran::of(command)
    }

    /// Queues a task and returns its id.
    #[track_caller]
    pub fn launch(&self, arguments: &[&str]) -> String {
        let ran = self.scitq(&[&["launch"], arguments].concat()).ok();
        assert!(ran.text().parse::<u64>().is_ok(), "no id: {ran}");
        ran.text().to_owned()
    }

    /// All about one task.
    #[track_caller]
    pub fn task(&self, id: &str) -> Value {
        self.scitq(&["manage", "task", "show", id, "--json"]).ok().json()
    }

    /// Waits until the task is in one of these states, and returns all about it.
    #[track_caller]
    pub fn wait_for(&self, id: &str, states: &[&str]) -> Value {
        until(&format!("task {id} to be {states:?}"), || {
            let task = self.task(id);
            states.contains(&task["state"].as_str()?).then_some(task)
        })
    }

    /// What the task's latest execution wrote to stdout.
    pub fn stdout(&self, id: &str) -> Vec<u8> {
        self.scitq(&["manage", "task", "output", id, "--stdout"]).ok().stdout
    }

    /// Starts an agent and waits until the server sees it.
    pub fn agent(&mut self, options: AgentOptions) -> AgentId {
        let id = AgentId(self.agents.len());
        self.agents.push(Agent { options, process: None });
        self.start_agent(id);
        id
    }

    /// Starts an agent that was killed or has ended.
    pub fn start_agent(&mut self, id: AgentId) {
        let options = self.agents[id.0].options.clone();
        let mut command = self.world.command(SCITQ);
        command
            .args(["agent", "--server", &self.url(), "--name", &options.name])
            .args(["--concurrency", &options.concurrency.to_string()])
            .arg("--workdir")
            .arg(self.workdir(id))
            .env("SCITQ_TOKEN_FILE", self.data().join("admin.token"))
            .envs(&options.env);
        if let Some(batch) = &options.batch {
            command.args(["--batch", batch]);
        }
        self.agents[id.0].process = Some(self.world.spawn(&options.name, command));
        until(&format!("agent {} to be seen", options.name), || {
            let list = self.scitq(&["manage", "worker", "list", "--json"]);
            let list: Value = serde_json::from_slice(&list.stdout).ok()?;
            let is_seen =
                |worker: &Value| worker["name"] == *options.name && worker["seen"] == "online";
            list.as_array()?.iter().any(is_seen).then_some(())
        });
    }

    /// The agent's work folder.
    pub fn workdir(&self, id: AgentId) -> PathBuf {
        self.path().join("work").join(&self.agents[id.0].options.name)
    }

    /// Sends a signal to an agent, and to nothing else.
    pub fn signal_agent(&self, id: AgentId, signal: Signal) {
        let process = self.agents[id.0].process.as_ref().expect("the agent runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// Kills an agent, and nothing else, at once.
    pub fn kill9_agent(&mut self, id: AgentId) {
        let mut process = self.agents[id.0].process.take().expect("the agent runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends an agent as a service manager does.
    pub fn stop_agent(&mut self, id: AgentId) -> ExitStatus {
        let process = self.agents[id.0].process.take().expect("the agent runs");
        terminate(process)
    }

    /// Kills the server, and nothing else, at once.
    pub fn kill9(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends the server as a service manager does.
    pub fn stop(&mut self) -> ExitStatus {
        terminate(self.process.take().expect("the server runs"))
    }

    /// Starts the server again, on the same data and port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        self.run();
    }

    /// `scitq serve` on the given data directory, ready to be started.
    pub fn serve_command(world: &World, address: &str, data: &Path) -> Command {
        let mut command = world.command(SCITQ);
        command.args(["serve", "--listen", address, "--data"]).arg(data);
        command
    }

    fn run(&mut self) {
        let file = self.data().join("server.json");
        // Left by a server that was killed, it would name an address of the past.
        let _ = fs::remove_file(&file);
        let mut command = Self::serve_command(&self.world, &self.address, &self.data());
        command.args(&self.serve_options);
        let mut process = self.world.spawn("server", command);
        self.address = until("the server to say where it listens", || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("the server ended with {status}");
            }
            let text = fs::read(&file).ok()?;
            let value: Value = serde_json::from_slice(&text).ok()?;
            let address = value["address"].as_str()?;
            Some(address.trim_start_matches("http://").to_owned())
        });
        self.process = Some(process);
    }
}

fn command_line(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn terminate(mut process: Child) -> ExitStatus {
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    until("a process to end after SIGTERM", || process.try_wait().unwrap())
}
