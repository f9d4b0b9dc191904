//! `kind = "local"`: workers that are agents on the head itself.
//!
//! Each is a process of its own in a session of its own, and outlives the server. It
//! is found again by the folder that it works in, which its command line names.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::Deserialize;

use super::{
    ErrorClass, HeadTag, Hired, Journal, MachineId, MachineStatus, Order, Provider, ProviderError,
};
use crate::domain::flavor::{Flavor, ProviderName, RegionName};
use crate::server::hiring::settings::{SettingsError, Surroundings, own_keys};

/// Time that an agent has to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// Cores that are offered; all that there are where it is absent.
    cores: Option<u32>,
}

#[derive(Debug)]
struct Local {
    name: ProviderName,
    region: RegionName,
    folder: PathBuf,
    cores: u32,
}

/// # Errors
/// Wrong keys.
pub fn make(
    surroundings: Surroundings,
    own: &toml::Table,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let keys: Keys = own_keys(&surroundings.name, own)?;
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let folder = std::path::absolute(&surroundings.folder)
        .map_err(|error| SettingsError::of(&surroundings.name, error.to_string()))?;
    Ok(Arc::new(Local {
        region: surroundings.regions.first().cloned().unwrap_or_else(|| RegionName::new("here")),
        name: surroundings.name,
        folder,
        cores: keys.cores.unwrap_or_else(|| u32::try_from(all).unwrap_or(u32::MAX)).max(1),
    }))
}

impl Provider for Local {
    fn flavors(&self) -> BoxFuture<'_, Result<Vec<Flavor>, ProviderError>> {
        Box::pin(async move { Ok(self.shapes()) })
    }

    fn create<'a>(
        &'a self,
        order: &'a Order,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<MachineId, ProviderError>> {
        Box::pin(async move {
            let place = self.folder.join(&*order.worker);
            if agent_of(&place).is_none() {
                journal.line(&format!("starting an agent in {}", place.display()));
                Self::start(order, &place).map_err(|error| {
                    let text = format!("cannot start an agent in {}: {error}", place.display());
                    ProviderError::new(ErrorClass::Transient, text)
                })?;
            }
            journal.progress(50);
            Ok(MachineId(order.worker.to_string()))
        })
    }

    fn deploy<'a>(
        &'a self,
        _: &'a Order,
        _: &'a MachineId,
        _: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { Ok(()) })
    }

    fn status<'a>(
        &'a self,
        hired: &'a Hired,
    ) -> BoxFuture<'a, Result<MachineStatus, ProviderError>> {
        let place = self.folder.join(&*hired.worker);
        Box::pin(async move {
            Ok(match agent_of(&place) {
                Some(_) => MachineStatus::Running { addresses: vec!["127.0.0.1".to_owned()] },
                None => MachineStatus::Gone,
            })
        })
    }

    fn destroy<'a>(
        &'a self,
        hired: &'a Hired,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        let place = self.folder.join(&*hired.worker);
        Box::pin(async move {
            if let Some(agent) = agent_of(&place) {
                journal.line(&format!(
                    "asking the agent (process {}) to leave",
                    agent.as_raw_nonzero()
                ));
                // It may have left by itself.
                let _ = kill_process(agent, Signal::TERM);
                await_end(&place).await;
            }
            journal.progress(50);
            for process in processes_of(&place) {
                let _ = kill_process_group(process, Signal::KILL);
                let _ = kill_process(process, Signal::KILL);
            }
            match fs::remove_dir_all(&place) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(ProviderError::new(
                    ErrorClass::Transient,
                    format!("cannot remove {}: {error}", place.display()),
                )),
            }
        })
    }

    fn list<'a>(&'a self, tag: &'a HeadTag) -> BoxFuture<'a, Result<Vec<Hired>, ProviderError>> {
        Box::pin(async move {
            let entries = fs::read_dir(&self.folder).map_err(|error| {
                let text = format!("cannot list {}: {error}", self.folder.display());
                ProviderError::new(ErrorClass::Transient, text)
            })?;
            let found = entries.flatten().filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some(Hired {
                    worker: name.as_str().into(),
                    tag: tag.clone(),
                    region: self.region.clone(),
                    machine: agent_of(&entry.path()).map(|_| MachineId(name)),
                })
            });
            // Of one whose agent has ended nothing is left that anybody could use.
            Ok(found.filter(|machine| machine.machine.is_some()).collect())
        })
    }
}

impl Local {
    /// Halves of the machine, down to one core.
    fn shapes(&self) -> Vec<Flavor> {
        let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        });
        let disk = rustix::fs::statvfs(&self.folder).ok();
        let mut cores = self.cores;
        let mut shapes = Vec::new();
        while cores > 0 {
            let share = f64::from(cores) / f64::from(self.cores);
            let mut flavor = Flavor::new(format!("local-{cores}"), &self.name, &self.region, cores);
            flavor.ram = memory.map(|kibibytes| tenths(kibibytes / f64::from(1 << 20) * share));
            flavor.disk = disk.as_ref().map(|disk| tenths(gibibytes(disk)));
            flavor.cost = Some(0.0);
            flavor.eviction = Some(0.0);
            shapes.push(flavor);
            cores /= 2;
        }
        shapes
    }

    fn start(order: &Order, place: &Path) -> io::Result<()> {
        use io::Write;
        fs::create_dir_all(place)?;
        let token_file = place.join("token");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&token_file)?;
        file.write_all(order.agent.token.expose().as_bytes())?;
        let log = fs::File::create(place.join("agent.log"))?;
        let settings = &order.agent.settings;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["agent", "--server", &order.agent.server, "--name", &order.worker])
            .arg("--workdir")
            .arg(work_of(place))
            .args(["--concurrency", &settings.concurrency.to_string()])
            .args(["--prefetch", &settings.prefetch.to_string()])
            .args(["--batch", settings.batch.as_str()])
            .args(["--flavor", order.flavor.as_str(), "--region", order.region.as_str()])
            .args(["--provider", &order.agent.provider])
            .env("SCITQ_TOKEN_FILE", &token_file)
            .env_remove("SCITQ_TOKEN")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the server, which ends without its workers.
            .process_group(0);
        let mut child = tokio::process::Command::from(command).kill_on_drop(false).spawn()?;
        // Who waits for it keeps no dead process in the table.
        tokio::spawn(async move { child.wait().await.map(drop) });
        Ok(())
    }
}

/// The folder that an agent works in.
fn work_of(place: &Path) -> PathBuf {
    place.join("work")
}

async fn await_end(place: &Path) {
    let ended = async {
        while agent_of(place).is_some() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    // One that does not leave is killed.
    let _ = tokio::time::timeout(LEAVE_WITHIN, ended).await;
}

/// The agent that works there.
fn agent_of(place: &Path) -> Option<Pid> {
    let work = work_of(place);
    processes()
        .into_iter()
        .find(|(_, words)| {
            words.get(1).is_some_and(|word| word == b"agent")
                && words.iter().any(|word| Path::new(as_os(word)) == work)
        })
        .map(|(process, _)| process)
}

/// All processes of which a word or the folder is below that place: the agent, its
/// supervisor, and what is left of commands.
fn processes_of(place: &Path) -> Vec<Pid> {
    let is_of = |(process, words): &(Pid, Vec<Vec<u8>>)| {
        let folder = format!("/proc/{}/cwd", process.as_raw_nonzero());
        words.iter().any(|word| Path::new(as_os(word)).starts_with(place))
            || fs::read_link(folder).is_ok_and(|folder| folder.starts_with(place))
    };
    processes().into_iter().filter(is_of).map(|(process, _)| process).collect()
}

/// All processes of this machine that are alive, with their command lines.
fn processes() -> Vec<(Pid, Vec<Vec<u8>>)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let read = |entry: fs::DirEntry| {
        let process = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        // One that has ended and was not waited for has none.
        let words: Vec<Vec<u8>> = line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        (!line.is_empty()).then_some((process, words))
    };
    entries.flatten().filter_map(read).collect()
}

fn as_os(word: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(word)
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn gibibytes(disk: &rustix::fs::StatVfs) -> f64 {
    (disk.f_bavail * disk.f_frsize) as f64 / f64::from(1 << 30)
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
