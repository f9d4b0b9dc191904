//! Reads that the tools of the Sequence Read Archive make on this machine:
//! installed ones, or those in a container.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::process::Command;

use super::super::error::{RemoteError, Result};

/// The image with the tools, where no setting names another.
const IMAGE: &str = "docker.io/ncbi/sra-tools:latest";

/// Programs that run containers, as their command lines are the same.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// So much of what a tool says at its end is told.
const MAX_MESSAGE: usize = 500;

/// Fetches a run and makes its reads, packed, in a folder below `folder`, which
/// is given. What a whole try before has made is taken as it is.
pub(super) async fn make_fastq(
    accession: &str,
    folder: &Path,
    image: Option<&str>,
) -> Result<PathBuf> {
    let (work, done) = (folder.join("work"), folder.join("done"));
    if done.is_dir() {
        return Ok(done);
    }
    let fresh = work.clone();
    blocking(move || {
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        fs::create_dir_all(&fresh)
    })
    .await?;
    if is_installed("fasterq-dump").await {
        run("prefetch", &["-O", ".", accession], &work).await?;
        run("fasterq-dump", &["--split-3", "-O", "reads", accession], &work).await?;
    } else {
        in_container(accession, &work, image.unwrap_or(IMAGE)).await?;
    }
    let (reads, end) = (work.join("reads"), done.clone());
    blocking(move || {
        pack_all(&reads)?;
        fs::rename(&reads, &end)?;
        fs::remove_dir_all(&work)
    })
    .await?;
    Ok(done)
}

/// The same tools from an image.
async fn in_container(accession: &str, work: &Path, image: &str) -> Result<()> {
    let mut engine = None;
    for program in ENGINES {
        if is_installed(program).await {
            engine = Some(program);
            break;
        }
    }
    let engine = engine.ok_or_else(|| {
        RemoteError::unsupported(
            "no archive has its reads ready, and neither sra-tools nor a container engine is on this machine to make them",
        )
    })?;
    let mount = format!("{}:/run", work.display());
    let user =
        format!("{}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // The accession is letters and digits.
    let script =
        format!("prefetch -O . {accession} && fasterq-dump --split-3 -O reads {accession}");
    let options = ["run", "--rm", "--user", &user, "-e", "HOME=/tmp", "-v", &mount, "-w", "/run"];
    run(engine, &[&options[..], &[image, "sh", "-c", &script]].concat(), work).await
}

/// Runs a tool to its end. It ends with whoever waits for it.
async fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| RemoteError::lasting(format!("cannot run `{program}`: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let skipped = said.chars().count().saturating_sub(MAX_MESSAGE);
    let end: String = said.chars().skip(skipped).collect();
    let text = format!("`{program}` ended with {}: {}", output.status, end.trim());
    // It cannot be told from others whether a failure will pass.
    Err(RemoteError::temporary(text))
}

async fn is_installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    found.is_ok_and(|status| status.success())
}

/// Packs the files of a folder, several at a time. Blocks.
fn pack_all(folder: &Path) -> io::Result<()> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    if files.is_empty() {
        return Err(io::Error::other("the run has no reads"));
    }
    let packed = std::thread::scope(|scope| {
        let threads: Vec<_> = files.iter().map(|file| scope.spawn(|| pack(file))).collect();
        let failed = || io::Error::other("a thread that packed reads broke off");
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(failed()))).collect()
    });
    let packed: Vec<io::Result<()>> = packed;
    packed.into_iter().collect()
}

fn pack(file: &Path) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".gz");
    let mut packer = GzEncoder::new(File::create(name)?, Compression::fast());
    io::copy(&mut File::open(file)?, &mut packer)?;
    packer.finish()?;
    fs::remove_file(file)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(RemoteError::lasting(error.to_string())),
        Err(error) => Err(RemoteError::lasting(error.to_string())),
    }
}
