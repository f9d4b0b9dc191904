//! The same work given to `HyperQueue`, where its `hq` is in the search path.
//!
//! With its defaults and a journal: it writes the journal to the disk every 30
//! seconds, so what it acknowledged in between does not survive its server.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::scene::{cpu_of, memory_of};
use super::table::{Table, mebibytes, millis, per_task, percentiles, rate};

/// Tasks of the large queue that is read line by line.
const LINES: u64 = 100_000;
/// Commands in a throughput run.
const COMMANDS: u64 = 2_000;
/// Runs whose times are taken.
const RUNS: usize = 50;
/// Time that its server and worker have to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Its server and, from some moment on, its worker. They end with it.
struct Peer {
    folder: TempDir,
    server: Child,
    worker: Option<Child>,
}

pub fn measure(tasks: u64, table: &mut Table) -> anyhow::Result<()> {
    if Command::new("hq").arg("--version").stdout(Stdio::null()).status().is_err() {
        table.alone("HyperQueue: not measured, since there is no `hq` in the search path", "");
        return Ok(());
    }
    let start = Instant::now();
    let mut peer = Peer::start()?;
    peer.start_worker()?;
    peer.run(&["submit", "--wait", "true"])?;
    table.alone("HyperQueue, from nothing: first task done", millis(start.elapsed()));
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        peer.run(&["submit", "--wait", "--stdout=none", "--stderr=none", "true"])?;
        times.push(start.elapsed());
    }
    table.alone("HyperQueue, `hq submit --wait true`, back to back", percentiles(times).0);
    peer.throughput(table)?;
    drop(peer);
    queue(tasks, table)
}

/// What it takes to hold long queues. No worker is there.
fn queue(tasks: u64, table: &mut Table) -> anyhow::Result<()> {
    let peer = Peer::start()?;
    let memory = memory_of(peer.server.id())?;
    table.alone("HyperQueue, server's memory, idle", mebibytes(memory));
    let file = peer.folder.path().join("lines");
    let lines: Vec<String> = (0..LINES).map(|number| format!("sample-{number}")).collect();
    fs::write(&file, lines.join("\n"))?;
    let start = Instant::now();
    let file = file.to_str().context("a path that is no text")?;
    peer.run(&["submit", "--each-line", file, "fastp"])?;
    let (figure, _) = rate(LINES, start.elapsed());
    table.alone(format!("HyperQueue, {LINES} tasks from a file, not durable"), figure);
    peer.run(&["submit", &format!("--array=1-{tasks}"), "fastp"])?;
    let memory = memory_of(peer.server.id())?;
    let what = format!("HyperQueue, server's memory, {} pending tasks", tasks + LINES);
    table.alone(what, mebibytes(memory));
    Ok(())
}

impl Peer {
    fn start() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("scitq-bench-hq-")?;
        let journal = folder.path().join("journal");
        let journal = journal.to_str().context("a path that is no text")?;
        let server = hq(folder.path(), &["server", "start", "--journal", journal]).spawn()?;
        let peer = Self { folder, server, worker: None };
        peer.answers(&["server", "info"])?;
        Ok(peer)
    }

    fn start_worker(&mut self) -> anyhow::Result<()> {
        self.worker = Some(hq(self.folder.path(), &["worker", "start", "--cpus=2"]).spawn()?);
        self.answers(&["worker", "info", "1"])
    }

    fn throughput(&self, table: &mut Table) -> anyhow::Result<()> {
        let worker = self.worker.as_ref().context("no worker")?.id();
        let (server_cpu, worker_cpu) = (cpu_of(self.server.id())?, cpu_of(worker)?);
        let start = Instant::now();
        let array = format!("--array=1-{COMMANDS}");
        self.run(&["submit", "--wait", "--stdout=none", "--stderr=none", &array, "true"])?;
        let (figure, _) = rate(COMMANDS, start.elapsed());
        table.alone(format!("HyperQueue, `true` x {COMMANDS}, one worker, 2 cores"), figure);
        let server_cpu = cpu_of(self.server.id())?.saturating_sub(server_cpu);
        let worker_cpu = cpu_of(worker)?.saturating_sub(worker_cpu);
        table.alone("HyperQueue, CPU of the server per task", per_task(server_cpu, COMMANDS));
        table.alone("HyperQueue, CPU of the worker per task", per_task(worker_cpu, COMMANDS));
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status = hq(self.folder.path(), arguments).status()?;
        ensure!(status.success(), "hq {arguments:?}: {status}");
        Ok(())
    }

    fn answers(&self, question: &[&str]) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.run(question).is_err() {
            if Instant::now() > deadline {
                bail!("hq {question:?} is not answered");
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Peer {
    /// Nothing can be done where it does not end.
    fn drop(&mut self) {
        for process in self.worker.iter_mut().chain(Some(&mut self.server)) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn hq(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("hq");
    command.arg("--server-dir").arg(folder.join("server")).args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
