//! The terminal UI as a process of its own, in a real pseudo-terminal.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::scene::{Scene, cpu_of};

const COLUMNS: u16 = 120;
const LINES: u16 = 40;

/// Text that is not there after this will not come.
const PATIENCE: Duration = Duration::from_mins(5);

/// `scitq tui` and somebody who reads its screen.
pub struct Screen {
    child: Child,
    master: File,
    parser: Arc<Mutex<vt100::Parser>>,
    started: Instant,
}

impl Screen {
    pub fn start(scene: &Scene, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave =
            rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        let size = Winsize { ws_row: LINES, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size)?;
        let own = scene.command(program);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(program).arg("tui").args(arguments);
        command.env_clear().env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        for (name, value) in own.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let end = || slave.try_clone().map(Stdio::from);
        let started = Instant::now();
        let child = command.stdin(end()?).stdout(end()?).stderr(end()?).spawn()?;
        let (lines, columns) = (LINES.try_into()?, COLUMNS.try_into()?);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let master = File::from(master);
        let (mut reader, screen) = (master.try_clone()?, Arc::clone(&parser));
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let mut parser = screen.lock().unwrap_or_else(PoisonError::into_inner);
                parser.process(bytes.get(..count).unwrap_or_default());
            }
        });
        Ok(Self { child, master, parser, started })
    }

    fn text(&self) -> String {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// Waits until the screen fits, and tells how long that took.
    pub async fn wait(&self, fits: impl Fn(&str) -> bool) -> anyhow::Result<Duration> {
        let start = Instant::now();
        loop {
            let text = self.text();
            if fits(&text) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > PATIENCE {
                bail!("this is not what was waited for:\n{text}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// From a key to a screen that fits.
    pub async fn press(
        &mut self,
        keys: &str,
        fits: impl Fn(&str) -> bool,
    ) -> anyhow::Result<Duration> {
        self.master.write_all(keys.as_bytes())?;
        self.wait(fits).await
    }

    /// From the start of the process to a screen that fits.
    pub async fn first(&self, fits: impl Fn(&str) -> bool) -> anyhow::Result<Duration> {
        self.wait(fits).await?;
        Ok(self.started.elapsed())
    }

    /// CPU time so far, and resident memory in bytes.
    pub fn used(&self) -> anyhow::Result<(Duration, u64)> {
        let pid = self.pid()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        Ok((cpu_of(pid)?, kibibytes.context("no VmRSS")?.parse::<u64>()? << 10))
    }

    /// The terminal UI: `setsid` waits for it as its only child, or is it.
    fn pid(&self) -> anyhow::Result<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        Ok(children.split_whitespace().next().map_or(Ok(own), str::parse)?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // `q` may be taken by what is open; the end of the terminal is not.
        if let Some(pid) = self.pid().ok().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
