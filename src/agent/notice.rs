//! Word that the provider takes this machine away.

mod azure;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc::Sender;
use tokio::time::{MissedTickBehavior, interval};

use super::config::Stop;

/// How often a file is looked for and a command asked. Clouds give two minutes of
/// warning, or half a minute.
const PERIOD: Duration = Duration::from_secs(2);

/// By what an agent learns that its machine is taken away. SIGUSR2 always says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It runs in a job of a batch system, which ends it by SIGTERM.
    Slurm,
    /// This file appears. What is in it is the reason.
    File(PathBuf),
    /// This shell command succeeds. What it prints is the reason.
    Command(String),
    /// Azure says so at this address, where each of its machines can ask.
    Azure(String),
}

/// A notice that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no notice: write slurm, azure, file:PATH or command:COMMAND")]
pub struct UnknownNotice(String);

impl FromStr for Notice {
    type Err = UnknownNotice;

    fn from_str(text: &str) -> Result<Self, UnknownNotice> {
        match text.split_once(':') {
            None if text == "slurm" => Ok(Self::Slurm),
            None if text == "azure" => Ok(Self::Azure(azure::ADDRESS.to_owned())),
            Some(("azure", address)) if address.contains(':') => {
                Ok(Self::Azure(address.to_owned()))
            }
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("command", command)) if !command.trim().is_empty() => {
                Ok(Self::Command(command.to_owned()))
            }
            _ => Err(UnknownNotice(text.to_owned())),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slurm => f.write_str("slurm"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Command(command) => write!(f, "command:{command}"),
            Self::Azure(address) if address == azure::ADDRESS => f.write_str("azure"),
            Self::Azure(address) => write!(f, "azure:{address}"),
        }
    }
}

impl Notice {
    /// Waits for it, says so once, and ends.
    pub async fn watch(self, stops: Sender<Stop>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let reason = match &self {
                // Its word is a signal.
                Self::Slurm => return,
                Self::File(path) => said_by_file(path).await,
                Self::Command(command) => said_by_command(command).await,
                Self::Azure(address) => azure::said_by_azure(address, PERIOD * 5).await,
            };
            if let Some(reason) = reason {
                // Nobody listens any more: then the agent leaves already.
                let _ = stops.send(Stop::Evict(reason)).await;
                return;
            }
        }
    }
}

async fn said_by_file(path: &Path) -> Option<String> {
    let content = tokio::fs::read(path).await.ok()?;
    Some(first_line(&content).unwrap_or_else(|| format!("`{}` is there", path.display())))
}

async fn said_by_command(command: &str) -> Option<String> {
    let mut process = Command::new("/bin/sh");
    process.args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PERIOD * 5, process.output()).await.ok()?.ok()?;
    let said = || first_line(&output.stdout).unwrap_or_else(|| format!("`{command}` says so"));
    output.status.success().then(said)
}

fn first_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().next().unwrap_or_default().trim();
    let short: String = line.chars().filter(|letter| !letter.is_control()).take(200).collect();
    Some(short).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_written_as_it_is_read() {
        for text in [
            "slurm",
            "azure",
            "azure:127.0.0.1:80",
            "file:/run/evicted",
            "command:test -e /x && echo soon",
        ] {
            assert_eq!(text.parse::<Notice>().unwrap().to_string(), text);
        }
        for text in ["", "file:", "file:relative", "command: ", "pbs"] {
            assert!(text.parse::<Notice>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(first_line(b" soon \nlater"), Some("soon".to_owned()));
        assert_eq!(first_line(b"\nx"), None);
        assert_eq!(first_line(b"a\x1b[2Jb"), Some("a[2Jb".to_owned()));
        assert_eq!(first_line(&[b'x'; 1000]).unwrap().len(), 200);
    }
}
