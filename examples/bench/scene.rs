//! A server of the bench's own, in a temporary directory, and what it uses.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use scitq::api::Client;
use scitq::api::client::ClientConfig;
use scitq::api::task::{CreatedTasks, WaitForTasks};
use scitq::domain::TaskId;
use scitq::runtime_dir::ServerFile;
use tempfile::TempDir;

/// Time that a server has to answer after its start.
const PATIENCE: Duration = Duration::from_mins(2);
/// Time between two looks at whether something is there.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A server with all its processes, which end with it.
pub struct Scene {
    folder: TempDir,
    program: PathBuf,
    agent: Option<u32>,
    server: Child,
    /// The server's address, as a URL.
    pub address: String,
    pub token: String,
    pub client: Client,
}

impl Scene {
    /// Starts a server, with an agent of so many slots where a number is given,
    /// and waits until it answers.
    pub async fn start(program: &Path, agent: Option<u32>) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("scitq-bench-")?;
        for name in ["home", "run", "tmp"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let server = spawn_server(folder.path(), program, agent)?;
        let client = Client::new(ClientConfig::default())?;
        let program = program.to_owned();
        let (address, token) = (String::new(), String::new());
        let mut scene = Self { folder, program, agent, server, address, token, client };
        scene.answers().await?;
        Ok(scene)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the server, starts it again, and tells how long it was until it answered.
    pub async fn restart(&mut self) -> anyhow::Result<Duration> {
        self.server.kill()?;
        self.server.wait()?;
        let start = Instant::now();
        self.server = spawn_server(self.folder.path(), &self.program, self.agent)?;
        self.answers().await?;
        Ok(start.elapsed())
    }

    /// A program in the environment of this server's administrator.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command(self.folder.path(), program.as_ref());
        command.env("SCITQ_SERVER", &self.address).env("SCITQ_TOKEN", &self.token);
        command
    }

    /// Queues tasks with a body that is JSON already.
    pub async fn queue(&self, body: String, key: &str) -> anyhow::Result<Vec<TaskId>> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let answer = http
            .post(format!("{}/api/v2/tasks", self.address))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header(scitq::api::IDEMPOTENCY_KEY, key)
            .body(body)
            .send()
            .await?
            .error_for_status()?;
        Ok(serde_json::from_slice::<CreatedTasks>(&answer.bytes().await?)?.ids)
    }

    /// Waits until these tasks have ended.
    pub async fn wait(&self, ids: &[TaskId]) -> anyhow::Result<()> {
        let wait = WaitForTasks { ids: ids.to_vec(), timeout_seconds: 60 };
        while !self.client.wait_for_tasks(&wait).await?.done {}
        Ok(())
    }

    /// CPU time of the server so far.
    pub fn server_cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.server.id())
    }

    /// CPU time so far of the agent and its supervisor, without their commands'.
    pub fn agent_cpu(&self) -> anyhow::Result<Duration> {
        self.agents().map(cpu_of).sum()
    }

    /// Resident memory of the agent and its supervisor, bytes each.
    pub fn agent_memory(&self) -> anyhow::Result<Vec<u64>> {
        self.agents().map(memory_of).collect()
    }

    /// Resident memory of the server, bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        memory_of(self.server.id())
    }

    /// The agent and its supervisor.
    fn agents(&self) -> impl Iterator<Item = u32> {
        let own = self.server.id();
        let mine = processes(self.path()).into_iter().filter(move |pid| *pid != own);
        let program = self.program.as_os_str().as_bytes();
        mine.filter(move |pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(program))
        })
    }

    /// Waits until the server that runs now answers, and takes its address.
    async fn answers(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.server.try_wait()? {
                bail!("the server ended: {status}");
            }
            if self.find_server().await.is_some() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the server does not answer");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn find_server(&mut self) -> Option<()> {
        let data = self.folder.path().join("data");
        let text = fs::read_to_string(scitq::runtime_dir::server_file_in(&data)).ok()?;
        let file: ServerFile = serde_json::from_str(&text).ok()?;
        if file.pid != self.server.id() {
            return None;
        }
        let token = fs::read_to_string(data.join("admin.token")).ok()?.trim().to_owned();
        let address = file.address.parse().ok()?;
        let config = ClientConfig { address, token: Some(token.clone()), ..Default::default() };
        let client = Client::new(config).ok()?;
        client.server_status().await.ok()?;
        self.address = file.address;
        self.token = token;
        self.client = client;
        Some(())
    }
}

impl Drop for Scene {
    /// Nothing of the scene may outlive it, and nothing can be done where it does.
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        end_processes(self.path());
    }
}

/// Kills all that has this folder in its environment or command line.
pub fn end_processes(folder: &Path) {
    for _ in 0..100 {
        let left = processes(folder);
        if left.is_empty() {
            return;
        }
        for pid in left {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It may have gone by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}

fn spawn_server(folder: &Path, program: &Path, agent: Option<u32>) -> anyhow::Result<Child> {
    let mut command = command(folder, program.as_os_str());
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.join("data"));
    if let Some(slots) = agent {
        command.arg(format!("--with-agent={slots}"));
    }
    let log = fs::File::options().create(true).append(true).open(folder.join("log"))?;
    command.stdout(log.try_clone()?).stderr(log).process_group(0);
    command.spawn().with_context(|| format!("cannot start `{}`", program.display()))
}

/// A command that sees of the environment only the search path and the engine of
/// containers.
pub fn command(folder: &Path, program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder.join("home"))
        .env("TMPDIR", folder.join("tmp"))
        .env("XDG_RUNTIME_DIR", folder.join("run"))
        // Where the engine of containers is, if it is somewhere else than usual.
        .envs(std::env::var_os("DOCKER_HOST").map(|address| ("DOCKER_HOST", address)))
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// The processes that have this folder in their environment or command line.
fn processes(folder: &Path) -> Vec<u32> {
    let mark = folder.as_os_str().as_bytes();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_mine = |pid: &u32| {
        ["environ", "cmdline"].iter().any(|file| {
            fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|bytes| bytes.windows(mark.len()).any(|part| part == mark))
        })
    };
    pids.filter(|pid| *pid != std::process::id()).filter(is_mine).collect()
}

/// Resident memory of a process, bytes.
pub fn memory_of(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kibibytes.context("no VmRSS")?.parse::<u64>()? << 10)
}

/// CPU time of one process so far: fields 14 and 15 of `/proc/PID/stat`.
pub fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name that may hold anything, also brackets and blanks.
    let (_, rest) = text.rsplit_once(')').context("a stat file without name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let mut ticks = 0_u32;
    for field in [11, 12] {
        ticks += fields.get(field).context("a short stat file")?.parse::<u32>()?;
    }
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(Duration::from_secs(1) * ticks / per_second)
}
