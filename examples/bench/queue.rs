//! A long queue: to fill it, keep it in memory, look at it, and find it again.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rusqlite::{Connection, OpenFlags, params};
use scitq::api::MAX_PAGE;
use scitq::api::task::ListTasks;

use super::agents::Swarm;
use super::scene::Scene;
use super::table::{Table, mebibytes, millis, rate};

/// Tasks in one request.
const ONE_REQUEST: u64 = 100_000;
/// Times that a page is read; the median counts.
const READS: usize = 9;

pub async fn measure(program: &Path, tasks: u64, table: &mut Table) -> anyhow::Result<()> {
    each(program, table).await?;
    let mut scene = Scene::start(program, None).await?;
    table.alone("server's memory, idle", mebibytes(scene.memory()?));
    let rows = specs(0, ONE_REQUEST);
    let body = request(&rows);
    let start = Instant::now();
    scene.queue(body, "request-0").await?;
    let ours = rate(ONE_REQUEST, start.elapsed());
    let bare = rate(ONE_REQUEST, bare_inserts(&scene.path().join("bare.db"), &rows)?);
    let what = format!("{ONE_REQUEST} tasks in one durable request; bare: SQLite, one commit");
    table.beside(what, ours, bare);
    let mut queued = ONE_REQUEST;
    while queued < tasks {
        let count = ONE_REQUEST.min(tasks - queued);
        scene.queue(request(&specs(queued, count)), &format!("request-{queued}")).await?;
        queued += count;
    }
    table.alone(format!("server's memory, {queued} pending tasks"), mebibytes(scene.memory()?));
    look(&scene, queued, table).await?;
    let restart = scene.restart().await?;
    table.alone(format!("kill -9 with {queued} tasks, start, first answer"), millis(restart));
    table.alone("server's memory after that", mebibytes(scene.memory()?));
    let swarm = Swarm { agents: 100, slots: 8, prefetch: 8, tasks: queued };
    let start = Instant::now();
    swarm.work(&scene).await?;
    table.alone(format!("{swarm}: all {queued} of them"), rate(queued, start.elapsed()).0);
    scene.queue(request(&specs(queued, ONE_REQUEST)), "the-rest").await?;
    let what =
        format!("server's memory, {queued} ended that were pending at once, {ONE_REQUEST} pending");
    table.alone(what, mebibytes(scene.memory()?));
    let restart = scene.restart().await?;
    table.alone("kill -9 with these, start, first answer", millis(restart));
    table.alone("server's memory after that", mebibytes(scene.memory()?));
    drop(scene);
    in_turns(program, tasks, table).await
}

/// Queues as many tasks as at once, but in turns, each of which is worked off.
async fn in_turns(program: &Path, tasks: u64, table: &mut Table) -> anyhow::Result<()> {
    let scene = Scene::start(program, None).await?;
    let mut queued = 0;
    while queued < tasks {
        let count = ONE_REQUEST.min(tasks - queued);
        scene.queue(request(&specs(queued, count)), &format!("turn-{queued}")).await?;
        Swarm { agents: 100, slots: 8, prefetch: 8, tasks: count }.work(&scene).await?;
        queued += count;
    }
    scene.queue(request(&specs(queued, ONE_REQUEST)), "the-rest").await?;
    let what = format!("server's memory, {queued} ended in turns, {ONE_REQUEST} pending");
    table.alone(what, mebibytes(scene.memory()?));
    Ok(())
}

/// Queues one task for each line of a file, from the command line.
async fn each(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    let scene = Scene::start(program, None).await?;
    let file = scene.path().join("lines");
    let lines: Vec<String> = (0..ONE_REQUEST).map(|number| format!("sample-{number}")).collect();
    std::fs::write(&file, lines.join("\n"))?;
    let mut launch = scene.command(program);
    launch.args(["launch", "--each", "--", "fastp", "-i", "{}.fastq.gz"]);
    launch.stdin(File::open(&file)?).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    ensure!(launch.status()?.success(), "`scitq launch --each` failed");
    let what = format!("`scitq launch --each`, {ONE_REQUEST} lines, durable");
    table.alone(what, millis(start.elapsed()));
    Ok(())
}

/// Queues so many tasks.
pub async fn fill(scene: &Scene, tasks: u64) -> anyhow::Result<()> {
    let mut queued = 0;
    while queued < tasks {
        let count = ONE_REQUEST.min(tasks - queued);
        scene.queue(request(&specs(queued, count)), &format!("fill-{queued}")).await?;
        queued += count;
    }
    Ok(())
}

/// Reads the list from its one end to the other, and answers where its middle is.
async fn walk(scene: &Scene, queued: u64, table: &mut Table) -> anyhow::Result<Option<String>> {
    let mut query = ListTasks { limit: Some(MAX_PAGE), ..ListTasks::default() };
    let (mut read, mut middle) = (0, None);
    let start = Instant::now();
    loop {
        let page = scene.client.list_tasks(&query).await?;
        read += page.tasks.len() as u64;
        if middle.is_none() && read >= queued / 2 {
            middle.clone_from(&page.next);
        }
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    let what = format!("the whole list, {read} tasks in pages of {MAX_PAGE}");
    table.alone(what, millis(start.elapsed()));
    Ok(middle)
}

async fn look(scene: &Scene, queued: u64, table: &mut Table) -> anyhow::Result<()> {
    let middle = walk(scene, queued, table).await?;
    let pages = [
        ("first page of 100", ListTasks::default()),
        ("newest page of 100", ListTasks { reverse: true, ..ListTasks::default() }),
        ("middle page of 100", ListTasks { cursor: middle.clone(), ..ListTasks::default() }),
        (
            "middle page of 100 pending",
            ListTasks { cursor: middle, state: Some("pending".to_owned()), ..ListTasks::default() },
        ),
    ];
    for (what, query) in pages {
        let mut times = Vec::new();
        for _ in 0..READS {
            let start = Instant::now();
            scene.client.list_tasks(&query).await?;
            times.push(start.elapsed());
        }
        table.alone(format!("{what}, {queued} tasks"), millis(median(times)));
    }
    let mut times = Vec::new();
    for _ in 0..READS {
        let start = Instant::now();
        scene.client.server_status().await?;
        times.push(start.elapsed());
    }
    table.alone(format!("counters of all states, {queued} tasks"), millis(median(times)));
    Ok(())
}

/// What one inserts who writes the same rows by hand: the same schema, one
/// transaction, synced to the disk at its end.
fn bare_inserts(path: &Path, specs: &[String]) -> anyhow::Result<Duration> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    connection.execute_batch(include_str!("../../src/server/store/migrations/0001.sql"))?;
    connection.execute("INSERT INTO batch VALUES (1, 'Default', 0, 0, 0, 0, 0, 0, 0, 0)", [])?;
    let start = Instant::now();
    let transaction = connection.transaction()?;
    {
        let mut insert = transaction.prepare(
            "INSERT INTO task (id, batch, state, state_since, attempts, retries_left, losses,
                 hidden, created_at, created_by, name, spec)
             VALUES (?1, 1, 'pending', ?2, 0, 0, 0, 0, ?2, 'admin', ?3, ?4)",
        )?;
        for (id, spec) in (1_i64..).zip(specs) {
            insert.execute(params![id, 1_800_000_000_000_000_i64, format!("sample-{id}"), spec])?;
        }
    }
    transaction.commit()?;
    Ok(start.elapsed())
}

fn specs(first: u64, count: u64) -> Vec<String> {
    let spec = |number: u64| {
        format!(
            r#"{{"command":"fastp -i sample-{number}.fastq.gz -o $OUTPUT/clean.fastq.gz","name":"sample-{number}","batch":"Default"}}"#
        )
    };
    (first + 1..=first + count).map(spec).collect()
}

fn request(specs: &[String]) -> String {
    format!(r#"{{"tasks":[{}]}}"#, specs.join(","))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
