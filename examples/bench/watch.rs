//! The terminal UI as its user has it: a process on a terminal that looks at a
//! server on which others work.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use scitq::api::task::{TaskIds, Unfit};

use super::scene::Scene;
use super::screen::Screen;
use super::table::{Table, millis, percentiles};

/// Changes whose way to the screen is timed.
const CHANGES: usize = 30;

/// How long it is watched while nothing changes.
const IDLE: Duration = Duration::from_secs(10);

/// What the server has is on screen, changes elsewhere come, and at rest it
/// costs nothing.
pub async fn measure(
    scene: &Scene,
    program: &Path,
    tasks: u64,
    table: &mut Table,
) -> anyhow::Result<()> {
    let how = format!("terminal UI, {tasks} tasks");
    let screen = Screen::start(scene, program, &["--screen", "tasks"])?;
    let first = screen.first(|text| text.contains("rows 1-")).await?;
    table.alone(format!("{how}: from the start of the process to its rows"), millis(first));
    screen.wait(|text| text.contains("live")).await?;
    let mut times = Vec::new();
    for number in 0..CHANGES {
        let body = format!(r#"{{"tasks":[{{"command":["elsewhere-{number}-"]}}]}}"#);
        let start = Instant::now();
        let ids = scene.queue(body, &format!("elsewhere-{number}")).await?;
        let word = format!("elsewhere-{number}-");
        screen.wait(|text| text.contains(&word)).await?;
        times.push(start.elapsed());
        let start = Instant::now();
        scene.client.cancel_tasks(&TaskIds { ids, unfit: Unfit::Refuse }).await?;
        let is_cancelled = |line: &str| line.contains(&word) && line.contains("failed cancelled");
        screen.wait(|text| text.lines().any(is_cancelled)).await?;
        times.push(start.elapsed());
    }
    let what = format!("{how}: change elsewhere -> on screen (budget 200 ms)");
    table.alone(what, percentiles(times).0);
    let (before, _) = screen.used()?;
    tokio::time::sleep(IDLE).await;
    let (after, memory) = screen.used()?;
    let share = after.saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    table.alone(format!("{how}: CPU of one core when nothing changes"), format!("{share:.1} %"));
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let mebibytes = memory as f64 / f64::from(1 << 20);
    table.alone(format!("{how}: resident memory"), format!("{mebibytes:.1} MiB"));
    Ok(())
}

/// A log far larger than memory should be: opened at its end, scrolled, searched.
pub async fn measure_log(program: &Path, lines: u64, table: &mut Table) -> anyhow::Result<()> {
    let scene = Scene::start(program, Some(1)).await?;
    let start = Instant::now();
    let body = format!(r#"{{"tasks":[{{"command":["seq","1","{lines}"]}}]}}"#);
    let ids = scene.queue(body, "log").await?;
    scene.wait(&ids).await?;
    let id = *ids.first().context("no task was queued")?;
    let execution = scene.client.task(id).await?.task.execution.context("it was not run")?;
    let bytes = scene.client.execution(execution).await?.output.stdout;
    let how = format!("log of {} MB", bytes / 1_000_000);
    table.alone(format!("{how}: written by a task, until it is safe"), millis(start.elapsed()));
    let mut screen = Screen::start(&scene, program, &["--screen", "tasks"])?;
    screen.wait(|text| text.contains("rows 1-")).await?;
    let has = |line: u64| {
        let line = line.to_string();
        move |text: &str| text.lines().any(|shown| shown.trim_end() == line)
    };
    let end = screen.press("o", has(lines)).await?;
    table.alone(format!("{how}: from the key to its end on screen"), millis(end));
    let mut pages = Vec::new();
    let mut top = lines;
    for _ in 0..20 {
        top = top.saturating_sub(30);
        pages.push(screen.press("\x1b[5~", has(top)).await?);
    }
    table.alone(format!("{how}: a page upwards"), percentiles(pages).0);
    table.alone(format!("{how}: to its beginning"), millis(screen.press("g", has(1)).await?));
    table
        .alone(format!("{how}: a page downwards"), millis(screen.press("\x1b[6~", has(40)).await?));
    // A number that is part of no other before it.
    let middle = lines / 10 * 9 + 1;
    let found = screen.press(&format!("/{middle}\r"), has(middle)).await?;
    table.alone(format!("{how}: searched through nine tenths of it"), millis(found));
    table.alone(format!("{how}: back to its end"), millis(screen.press("G", has(lines)).await?));
    let (_, memory) = screen.used()?;
    table.alone(format!("{how}: memory of the terminal UI"), format!("{} MiB", memory >> 20));
    Ok(())
}
