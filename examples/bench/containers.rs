//! A trivial container through scitq, next to `docker run --rm` of the same image.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::scene::Scene;
use super::table::{Table, millis, percentiles};

/// The image: busybox and nothing else.
const IMAGE: &str = "scitq-bench:busybox";
/// Runs whose times are taken.
const RUNS: usize = 20;
/// Where Debian's package has the one program of the image.
const BUSYBOX: &str = "/bin/busybox";

pub async fn measure(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    if !answers() || !Path::new(BUSYBOX).exists() {
        table.alone("containers: not measured, since no engine answers or busybox is missing", "");
        return Ok(());
    }
    let scene = Scene::start(program, Some(2)).await?;
    load_image(scene.path())?;
    let ours = || {
        let mut launch = scene.command(program);
        launch.args(["launch", "--wait", "--docker", IMAGE, "--", "true"]);
        launch
    };
    let bare = || {
        let mut run = scene.command("docker");
        run.args(["run", "--rm", IMAGE, "true"]);
        run
    };
    // The first container of an engine takes longer than all others.
    time_of(bare())?;
    time_of(ours())?;
    let (mut times, mut bare_times) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        bare_times.push(time_of(bare())?);
        times.push(time_of(ours())?);
    }
    let overhead = median(&times).saturating_sub(median(&bare_times));
    table.beside(
        "`scitq launch --wait --docker IMAGE -- true`, in turn; bare: `docker run --rm IMAGE true`",
        percentiles(times),
        percentiles(bare_times),
    );
    let over = if overhead.is_zero() { "none".to_owned() } else { millis(overhead) };
    table.alone(format!("of which scitq's part, median of {RUNS}; wanted: under 50 ms"), over);
    Ok(())
}

fn answers() -> bool {
    let mut version = Command::new("docker");
    version.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn load_image(folder: &Path) -> anyhow::Result<()> {
    let (root, archive) = (folder.join("image"), folder.join("image.tar"));
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(BUSYBOX, root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/true"))?;
    let mut tar = Command::new("tar");
    ensure!(tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status()?.success());
    let mut import = Command::new("docker");
    import.arg("import").arg(&archive).arg(IMAGE).stdout(Stdio::null());
    ensure!(import.status()?.success(), "the engine does not take the image");
    Ok(())
}

/// Time of one run of a program, from its start until it has ended well.
fn time_of(mut command: Command) -> anyhow::Result<Duration> {
    command.stdout(Stdio::null());
    let start = Instant::now();
    let status = command.spawn()?.wait()?;
    let time = start.elapsed();
    ensure!(status.success(), "{command:?}: {status}");
    Ok(time)
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
