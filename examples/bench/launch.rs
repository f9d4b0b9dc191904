//! From the command line through one agent, next to bare spawns of `true`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use scitq::api::worker::UpdateWorker;
use scitq::domain::WorkerId;

use super::scene::Scene;
use super::table::{Table, mebibytes, millis, per_task, percentiles, rate};

/// Runs whose times are taken.
const RUNS: usize = 100;
/// Pause between two runs that are to find everything at rest.
const PAUSE: Duration = Duration::from_millis(50);
/// Commands in a throughput run.
const COMMANDS: u64 = 2_000;

pub async fn measure(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    let start = Instant::now();
    let scene = Scene::start(program, Some(2)).await?;
    let answers = start.elapsed();
    let ids = scene.queue(trues(1), "first").await?;
    scene.wait(&ids).await?;
    table.alone("from nothing: the server answers", millis(answers));
    table.alone("from nothing: server and agent started, first task done", millis(start.elapsed()));
    latency(program, &scene, Duration::ZERO, "back to back, prefetch 0", table).await?;
    latency(program, &scene, PAUSE, "50 ms apart, prefetch 0", table).await?;
    let workers = scene.client.list_workers().await?.workers;
    let worker = workers.first().context("there is no worker")?.id;
    table.alone(
        "memory of agent and supervisor, idle",
        scene.agent_memory()?.into_iter().map(mebibytes).collect::<Vec<_>>().join(", "),
    );
    for prefetch in [0, 4, 64] {
        throughput(&scene, worker, prefetch, table).await?;
    }
    Ok(())
}

async fn latency(
    program: &Path,
    scene: &Scene,
    pause: Duration,
    how: &str,
    table: &mut Table,
) -> anyhow::Result<()> {
    let (mut ours, mut bare, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        tokio::time::sleep(pause).await;
        let mut launch = scene.command(program);
        launch.args(["launch", "--wait", "--", "true"]).stdout(Stdio::null());
        ours.push(time_of(launch)?);
    }
    for _ in 0..RUNS {
        tokio::time::sleep(pause).await;
        bare.push(time_of(scene.command("true"))?);
        let mut version = scene.command(program);
        version.arg("--version").stdout(Stdio::null());
        empty.push(time_of(version)?);
    }
    let what = format!("`scitq launch --wait -- true`, {how}; bare: `true`");
    table.beside(what, percentiles(ours), percentiles(bare));
    table.alone(format!("of which `scitq --version`, {how}"), percentiles(empty).0);
    Ok(())
}

async fn throughput(
    scene: &Scene,
    worker: WorkerId,
    prefetch: u32,
    table: &mut Table,
) -> anyhow::Result<()> {
    let update = UpdateWorker { prefetch: Some(prefetch), ..UpdateWorker::default() };
    scene.client.update_worker(worker, &update).await?;
    let (server, agent) = (scene.server_cpu()?, scene.agent_cpu()?);
    let start = Instant::now();
    let ids = scene.queue(trues(COMMANDS), &format!("throughput-{prefetch}")).await?;
    scene.wait(&ids).await?;
    let ours = rate(COMMANDS, start.elapsed());
    let server = scene.server_cpu()?.saturating_sub(server);
    let agent = scene.agent_cpu()?.saturating_sub(agent);
    let start = Instant::now();
    bare_loop()?;
    let bare = rate(COMMANDS, start.elapsed());
    let how = format!("`true` x {COMMANDS}, one agent, 2 slots, prefetch {prefetch}");
    table.beside(format!("{how}; bare: a loop with 2 in flight"), ours.clone(), bare);
    if let Some(time) = xargs()? {
        table.beside(format!("{how}; bare: `xargs -P2 -n1`"), ours, rate(COMMANDS, time));
    }
    table.alone(
        format!("CPU of the server per task, prefetch {prefetch}"),
        per_task(server, COMMANDS),
    );
    table.alone(
        format!("CPU of agent and supervisor per task, prefetch {prefetch}"),
        per_task(agent, COMMANDS),
    );
    Ok(())
}

/// A request for so many tasks that run `true`.
fn trues(count: u64) -> String {
    let tasks: Vec<&str> = (0..count).map(|_| r#"{"command":["true"]}"#).collect();
    format!(r#"{{"tasks":[{}]}}"#, tasks.join(","))
}

/// Time of one run of a program, from its start until it has ended well.
fn time_of(mut command: Command) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let status = command.spawn()?.wait()?;
    let time = start.elapsed();
    ensure!(status.success(), "{command:?}: {status}");
    Ok(time)
}

/// Two threads, each of which spawns `true` and waits for it.
fn bare_loop() -> anyhow::Result<()> {
    let half = || -> std::io::Result<()> {
        for _ in 0..COMMANDS / 2 {
            Command::new("true").spawn()?.wait()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(half), scope.spawn(half)];
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a bare loop panicked"))??;
        }
        Ok(())
    })
}

/// The same by `xargs`, where there is one.
fn xargs() -> anyhow::Result<Option<Duration>> {
    let script = format!("seq {COMMANDS} | xargs -P2 -n1 true");
    let has_xargs = Command::new("sh").args(["-c", "command -v xargs seq >/dev/null"]).status()?;
    if !has_xargs.success() {
        return Ok(None);
    }
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    time_of(command).map(Some)
}
