//! Data to and from S3, and within this machine, next to `rclone copy` with as
//! many transfers at once.
//!
//! Wants `rclone` in the search path and `SeaweedFS` of `tests/peers`. With the
//! usual sizes it takes some 20 GB of disk below `TMPDIR`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;
use wait4::Wait4;

use super::scene::{command, end_processes};
use super::table::{Table, mebibytes};

/// How much is moved.
#[derive(Debug, Clone, Copy)]
pub struct Amounts {
    /// How many small files.
    pub files: u64,
    /// Size of each large file, MiB.
    pub mebibytes: u64,
}

/// Size of a small file.
const SMALL: u64 = 100_000;
/// How many large files.
const LARGE_FILES: u64 = 4;
/// Files in one folder.
const PER_FOLDER: u64 = 100;
/// Time that the S3 server has to answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time between two looks at whether it answers.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One kind of data, and how many scitq moves at once.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    files: u64,
    /// Bytes of each.
    size: u64,
    /// Files on their way at once: to S3, from S3, within this machine.
    at_once: [u32; 3],
}

/// What a program took for all of it.
#[derive(Debug, Clone, Copy)]
struct Took {
    time: Duration,
    /// Its largest resident memory, bytes.
    memory: u64,
}

/// An S3 server with a bucket, two programs that know it, and files for both.
struct Stage {
    folder: TempDir,
    program: PathBuf,
    server: Child,
}

pub fn measure(program: &Path, amounts: Amounts, table: &mut Table) -> anyhow::Result<()> {
    let weed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/python/bin/weed");
    let has_rclone = Command::new("rclone").arg("version").stdout(Stdio::null()).status().is_ok();
    if !has_rclone || !weed.exists() {
        table.alone("data: not measured, since rclone or SeaweedFS (tests/peers) is missing", "");
        return Ok(());
    }
    let stage = Stage::start(program, &weed)?;
    let loads = [
        Load { name: "small", files: amounts.files, size: SMALL, at_once: [16, 16, 4] },
        Load {
            name: "large",
            files: LARGE_FILES,
            size: amounts.mebibytes << 20,
            at_once: [2, 4, 4],
        },
    ];
    for load in loads {
        stage.run(load, table).with_context(|| format!("{} files", load.name))?;
    }
    Ok(())
}

impl Load {
    fn describe(&self) -> String {
        let size = if self.size < 1 << 20 {
            format!("{} KB", self.size / 1000)
        } else {
            format!("{} MiB", self.size >> 20)
        };
        format!("{} files of {size}", self.files)
    }

    /// Text and number for the table: more is better.
    fn rate(&self, took: Took) -> (String, f64) {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = (self.files * self.size) as f64 / took.time.as_secs_f64() / 1e6;
        (format!("{rate:.0} MB/s, {}", mebibytes(took.memory)), rate)
    }
}

impl Stage {
    fn start(program: &Path, weed: &Path) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("scitq-bench-")?;
        for name in ["home", "run", "tmp", "weed"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let port = free_ports()?;
        let identities = r#"{"identities":[{"name":"bench","credentials":[{"accessKey":"AK","secretKey":"SECRETKEY12345"}],"actions":["Admin","Read","Write","List","Tagging"]}]}"#;
        fs::write(folder.path().join("weed/s3.json"), identities)?;
        let conf = format!(
            "[store]\ntype = s3\nprovider = Other\naccess_key_id = AK\n\
             secret_access_key = SECRETKEY12345\nendpoint = http://127.0.0.1:{}\n",
            port[3]
        );
        fs::write(folder.path().join("rclone.conf"), conf)?;
        let mut serve = command(folder.path(), weed.as_os_str());
        serve
            .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-dir=weed"])
            .args(["-s3.config=weed/s3.json", "-volume.max=64", "-master.volumeSizeLimitMB=512"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"])
            .args(["-filer.localSocket=weed/filer.sock", "-s3.localSocket=weed/s3.sock"])
            .arg(format!("-master.port={}", port[0]))
            .arg(format!("-volume.port={}", port[1]))
            .arg(format!("-filer.port={}", port[2]))
            .arg(format!("-s3.port={}", port[3]));
        let log = File::create(folder.path().join("log"))?;
        let server = serve.stdout(log.try_clone()?).stderr(log).spawn()?;
        let stage = Self { folder, program: program.to_owned(), server };
        stage.wait_for_bucket()?;
        // The first file of a bucket costs the server more than all others.
        let warm = stage.folder.path().join("warm");
        fs::write(&warm, "warm")?;
        stage.rclone(&warm.display().to_string(), "store:bucket/warm", 1)?;
        Ok(stage)
    }

    /// Moves the files each way with both programs.
    fn run(&self, load: Load, table: &mut Table) -> anyhow::Result<()> {
        let name = load.name;
        let source = self.folder.path().join(name);
        make_files(&source, load)?;
        let (here, to) = (format!("{}/", source.display()), |who: &str| format!("{name}-{who}"));
        let [up, down, local] = load.at_once;
        let ours = self.scitq(&here, &format!("store://bucket/{}/", to("ours")))?;
        let theirs = self.rclone(&here, &format!("store:bucket/{}", to("theirs")), up)?;
        tell("to S3", load, up, [ours, theirs], table);
        let there = to("theirs");
        let ours = self.scitq(&format!("store://bucket/{there}/"), &format!("{}/", to("ours")))?;
        self.check_and_remove(&source, &to("ours"))?;
        let theirs = self.rclone(&format!("store:bucket/{there}"), &to("theirs"), down)?;
        self.check_and_remove(&source, &to("theirs"))?;
        tell("from S3", load, down, [ours, theirs], table);
        let ours = self.scitq(&here, &format!("{}/", to("ours")))?;
        self.check_and_remove(&source, &to("ours"))?;
        let theirs = self.rclone(&here, &to("theirs"), local)?;
        self.check_and_remove(&source, &to("theirs"))?;
        tell("on this machine", load, local, [ours, theirs], table);
        fs::remove_dir_all(source)?;
        Ok(())
    }

    fn scitq(&self, from: &str, to: &str) -> anyhow::Result<Took> {
        let mut copy = command(self.folder.path(), self.program.as_os_str());
        copy.env("RCLONE_CONFIG", self.folder.path().join("rclone.conf"));
        copy.args(["--quiet", "manage", "file", "copy", from, to]);
        took(copy)
    }

    fn rclone(&self, from: &str, to: &str, at_once: u32) -> anyhow::Result<Took> {
        let mut copy = command(self.folder.path(), "rclone".as_ref());
        copy.args(["--config", "rclone.conf", "copy", "--s3-no-check-bucket", "--transfers"]);
        copy.arg(at_once.to_string()).args(["--s3-upload-concurrency", "3", from, to]);
        took(copy)
    }

    /// What arrived has as many bytes as what was sent.
    fn check_and_remove(&self, source: &Path, name: &str) -> anyhow::Result<()> {
        let folder = self.folder.path().join(name);
        let (sent, came) = (bytes_below(source)?, bytes_below(&folder)?);
        ensure!(sent == came, "`{}` has {came} of {sent} bytes", folder.display());
        fs::remove_dir_all(folder)?;
        Ok(())
    }

    /// Makes the bucket, as soon as the server takes it.
    fn wait_for_bucket(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut make = command(self.folder.path(), "rclone".as_ref());
            make.args(["--config", "rclone.conf", "--retries", "1", "mkdir", "store:bucket"]);
            if make.stderr(Stdio::null()).status()?.success() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("SeaweedFS does not answer");
            }
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
        end_processes(self.folder.path());
    }
}

fn tell(way: &str, load: Load, at_once: u32, took: [Took; 2], table: &mut Table) {
    let [ours, theirs] = took;
    table.beside(
        format!("{} {way}, {at_once} at once; bare: `rclone copy`", load.describe()),
        load.rate(ours),
        load.rate(theirs),
    );
}

/// Runs a program to its good end.
fn took(mut command: Command) -> anyhow::Result<Took> {
    let start = Instant::now();
    let ended = command.spawn()?.wait4()?;
    let time = start.elapsed();
    ensure!(ended.status.success(), "{command:?}: {}", ended.status);
    Ok(Took { time, memory: ended.rusage.maxrss })
}

/// Files whose content no disk and no program can make shorter.
fn make_files(folder: &Path, load: Load) -> anyhow::Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..load.files {
        let below = folder.join(format!("{:03}", number / PER_FOLDER));
        fs::create_dir_all(&below)?;
        let mut file =
            BufWriter::with_capacity(1 << 20, File::create(below.join(format!("{number:05}")))?);
        for _ in 0..load.size / 8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            file.write_all(&state.to_le_bytes())?;
        }
        file.flush()?;
    }
    Ok(())
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            bytes_below(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(sum)
}

/// Four ports whose twins, 10,000 above, are free as well: the server takes both.
fn free_ports() -> anyhow::Result<[u16; 4]> {
    let mut found = Vec::new();
    for port in 20_000_u16..40_000 {
        let is_free = |port: u16| {
            TcpStream::connect(("127.0.0.1", port)).is_err()
                && TcpListener::bind(("127.0.0.1", port)).is_ok()
        };
        if is_free(port) && is_free(port + 10_000) {
            found.push(port);
        }
        if let [one, two, three, four] = found[..] {
            return Ok([one, two, three, four]);
        }
    }
    bail!("there are no free ports")
}
