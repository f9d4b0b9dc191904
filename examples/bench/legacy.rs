//! The clients of the original, with our server and with its own, in one run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::scene::{command, end_processes};
use super::table::{Table, millis, rate};

/// Tasks that are queued one after the other through the library.
const QUEUED: u64 = 1_000;
/// Tasks in the list.
const LISTED: u64 = 10_000;
/// Time that a server has to answer after its start.
const PATIENCE: Duration = Duration::from_mins(2);

/// Prints seconds: of so many `task_create`, and of `GET /tasks/` when there are so many.
const CALLS: &str = "\
import sys, time
from scitq.lib import Server
queued, listed = int(sys.argv[1]), int(sys.argv[2])
server = Server(asynchronous=False)
start = time.perf_counter()
for number in range(queued):
    server.task_create('true', name=str(number), batch='calls')
print(time.perf_counter() - start)
for number in range(queued, listed):
    server.task_create('true', name=str(number), batch='calls')
times = []
for _ in range(3):
    start = time.perf_counter()
    found = len(list(server.tasks()))
    times.append(time.perf_counter() - start)
    assert found >= listed, found
print(sorted(times)[1])";

/// Prints the seconds from the start of `scitq-launch true` until it has succeeded.
const LATENCY: &str = "\
import subprocess, sys, time
from scitq.lib import Server
server = Server(asynchronous=False)
start = time.perf_counter()
out = subprocess.run([sys.argv[1], '-b', 'latency', 'true'], capture_output=True, text=True).stdout
id = int(out.split(':')[1])
while server.task_status([id]) != ['succeeded']:
    time.sleep(0.01)
print(time.perf_counter() - start)";

/// A server with a worker, which end with it.
struct Side {
    folder: tempfile::TempDir,
    host: &'static str,
    processes: Vec<Child>,
}

impl Drop for Side {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
        end_processes(self.folder.path());
    }
}

pub fn measure(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    let venv = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/legacy/venv/bin");
    if !venv.join("scitq-launch").exists() {
        eprintln!("scitq 1.3.8 is not installed (tests/peers does it): its part is left out");
        return Ok(());
    }
    let ours = our_side(program, &venv)?;
    let (queue, list) = calls(&ours, &venv)?;
    let latency = latency(&ours, &venv)?;
    drop(ours);
    let original = its_side(&venv)?;
    let (its_queue, its_list) = calls(&original, &venv)?;
    let its_latency = self::latency(&original, &venv)?;
    table.beside(
        "1,000 `task_create` of the old library; bare: its own server",
        rate(QUEUED, queue),
        rate(QUEUED, its_queue),
    );
    table.beside(
        "`GET /tasks/` of the old library, 10,000 tasks; bare: its own server",
        timed(list),
        timed(its_list),
    );
    table.beside(
        "`scitq-launch true` to succeeded, our agent; bare: its own server and worker",
        timed(latency),
        timed(its_latency),
    );
    Ok(())
}

fn our_side(program: &Path, venv: &Path) -> anyhow::Result<Side> {
    let mut side = Side::new("127.61.5.1")?;
    let listen = format!("{}:5000", side.host);
    let mut serve = side.command(program);
    serve.args(["serve", "--listen", &listen, "--trust", "127.0.0.0/8", "--data"]);
    serve.arg(side.folder.path().join("data"));
    side.spawn(serve)?;
    side.answers(venv)?;
    let mut agent = side.command(program);
    agent
        .args(["agent", "--server", &format!("http://{listen}"), "--batch", "latency"])
        .args(["--concurrency", "2", "--workdir"])
        .arg(side.folder.path().join("work"))
        .env("SCITQ_TOKEN_FILE", side.folder.path().join("data/admin.token"));
    side.spawn(agent)?;
    Ok(side)
}

fn its_side(venv: &Path) -> anyhow::Result<Side> {
    let mut side = Side::new("127.61.5.2")?;
    let folder = side.folder.path().to_owned();
    let mut flask = side.command(&venv.join("flask"));
    flask
        .args(["run", "--host", side.host, "--port", "5000"])
        .env("FLASK_APP", "scitq.server")
        .env("SQLALCHEMY_DATABASE_URI", format!("sqlite:///{}", folder.join("scitq.db").display()))
        .env("LOG_FILE", folder.join("server.log"));
    side.spawn(flask)?;
    side.answers(venv)?;
    let scratch = folder.join("scratch");
    fs::create_dir(&scratch)?;
    let mut worker = side.command(&venv.join("scitq-worker"));
    worker
        .args([side.host, "2", "-n", "worker", "-b", "latency", "-a", "100"])
        .env("BASE_WORKDIR", scratch);
    side.spawn(worker)?;
    Ok(side)
}

fn calls(side: &Side, venv: &Path) -> anyhow::Result<(Duration, Duration)> {
    let arguments = [QUEUED.to_string(), LISTED.to_string()];
    let times = side.python(venv, CALLS, &arguments)?;
    let [queue, list] = times.as_slice() else { anyhow::bail!("two times are expected") };
    Ok((*queue, *list))
}

fn latency(side: &Side, venv: &Path) -> anyhow::Result<Duration> {
    let program = venv.join("scitq-launch").display().to_string();
    // The first one finds everything cold.
    side.python(venv, LATENCY, std::slice::from_ref(&program))?;
    side.python(venv, LATENCY, &[program])?.first().copied().context("a time is expected")
}

impl Side {
    fn new(host: &'static str) -> anyhow::Result<Self> {
        let folder = tempfile::TempDir::with_prefix("scitq-bench-")?;
        for name in ["home", "run", "tmp"] {
            fs::create_dir(folder.path().join(name))?;
        }
        Ok(Self { folder, host, processes: Vec::new() })
    }

    /// A program in the environment of this side.
    fn command(&self, program: &Path) -> Command {
        let mut command = command(self.folder.path(), program.as_os_str());
        command.env("SCITQ_SERVER", self.host);
        command
    }

    fn spawn(&mut self, mut command: Command) -> anyhow::Result<()> {
        self.processes.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        Ok(())
    }

    fn answers(&self, venv: &Path) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let mut manage = self.command(&venv.join("scitq-manage"));
            manage.args(["batch", "list"]).stdout(Stdio::null()).stderr(Stdio::null());
            if manage.status()?.success() {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "the server at {} does not answer", self.host);
        }
    }

    /// Runs a script, which prints seconds.
    fn python(
        &self,
        venv: &Path,
        script: &str,
        arguments: &[String],
    ) -> anyhow::Result<Vec<Duration>> {
        let mut python = self.command(&venv.join("python"));
        let ran = python.args(["-c", script]).args(arguments).output()?;
        ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let seconds = |line: &str| Ok(Duration::from_secs_f64(line.parse()?));
        String::from_utf8_lossy(&ran.stdout).lines().map(seconds).collect()
    }
}

fn timed(time: Duration) -> (String, f64) {
    (millis(time), time.as_secs_f64())
}
