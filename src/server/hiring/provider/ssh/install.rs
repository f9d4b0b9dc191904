//! Brings the agent onto a host, upgrades it, and takes it off again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::super::provision::{
    Place, Program, REGISTRY_LOGINS, provisioning_script, removal_script, token_file, token_text,
};
use super::super::words::quote;
use super::super::{ErrorClass, Hired, Journal, MachineStatus, Order, ProviderError};
use super::connection::Connection;
use super::hosts::Host;
use super::settings::SshSettings;

/// Room for the agent's own files, beside its program.
const ROOM_KIB: u64 = 64 << 10;

/// Of the work of a deployment, copying the program is the part between these, percent.
const COPYING: (u64, u64) = (5, 70);

/// What there is on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    architecture: String,
    user: String,
    is_writable: bool,
    free_kib: u64,
    /// The head's tag and the worker of what is there.
    hired: String,
    sum: String,
    version: String,
    agent: String,
}

/// The programs for the architectures of hosts.
#[derive(Debug)]
pub struct Programs {
    by_architecture: BTreeMap<String, PathBuf>,
    /// Sums that were made already, by path, with the size of the file.
    sums: Mutex<BTreeMap<PathBuf, Arc<Fingerprint>>>,
}

/// A program as it is on the head.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    bytes: u64,
    modified: Option<std::time::SystemTime>,
    sum: String,
}

impl Installed {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn look(
        connection: &Connection,
        worker: &str,
        directory: &str,
    ) -> Result<Self, ProviderError> {
        let values = format!("WORKER={}\nDIRECTORY={}\n", quote(worker), quote(directory));
        let text = connection.ask(&(values + include_str!("look.sh"))).await?;
        Ok(Self::read(&text))
    }

    /// How the machine is, by what is on it.
    #[must_use]
    pub fn status(&self, host: &Host, hired: &Hired) -> MachineStatus {
        if self.hired != format!("{} {}", hired.tag, hired.worker) {
            return MachineStatus::Building;
        }
        match self.agent.as_str() {
            "active" | "activating" | "reloading" => {
                MachineStatus::Running { addresses: vec![host.name.clone()] }
            }
            "none" => MachineStatus::Failed(format!("no agent runs on host {host}")),
            state => MachineStatus::Failed(format!("the agent's service on host {host}: {state}")),
        }
    }

    fn read(text: &str) -> Self {
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("")
        };
        Self {
            architecture: value("architecture").to_owned(),
            user: value("user").to_owned(),
            is_writable: value("writable") == "yes",
            free_kib: value("free_kib").parse().unwrap_or(0),
            hired: value("hired").to_owned(),
            sum: value("sum").to_owned(),
            version: value("version").to_owned(),
            agent: value("agent").to_owned(),
        }
    }
}

impl Programs {
    #[must_use]
    pub const fn new(by_architecture: BTreeMap<String, PathBuf>) -> Self {
        Self { by_architecture, sums: Mutex::new(BTreeMap::new()) }
    }

    /// Whether a worker can be made of this host.
    ///
    /// # Errors
    /// What it lacks.
    pub async fn fits(
        &self,
        host: &Host,
        found: &Installed,
        directory: &str,
    ) -> Result<(), ProviderError> {
        let path = self.path(host, &found.architecture)?;
        if !found.is_writable {
            let message = format!(
                "host {host}: user {} may not write to `{directory}`: set `directory`, or `sudo = true`",
                found.user
            );
            return Err(ProviderError::new(ErrorClass::Authentication, message));
        }
        let bytes =
            tokio::fs::metadata(&path).await.map_err(|error| no_program(&path, &error))?.len();
        let needed = bytes.div_ceil(1024) + ROOM_KIB;
        if found.free_kib < needed {
            let message = format!(
                "host {host}: its disk is full: {} MiB are free below `{directory}`, and {} are needed",
                found.free_kib >> 10,
                needed >> 10
            );
            return Err(ProviderError::new(ErrorClass::Capacity, message));
        }
        Ok(())
    }

    /// The program for an architecture: the head's own, or one that is configured.
    fn path(&self, host: &Host, architecture: &str) -> Result<PathBuf, ProviderError> {
        if let Some(path) = self.by_architecture.get(architecture) {
            return Ok(path.clone());
        }
        if architecture == std::env::consts::ARCH {
            return std::env::current_exe().map_err(|error| {
                let message = format!("cannot find the head's own program: {error}");
                ProviderError::new(ErrorClass::Unsupported, message)
            });
        }
        let message = format!(
            "host {host} is of architecture {architecture}, and the head of {}: name a program for it \
             as `programs.{architecture}`",
            std::env::consts::ARCH
        );
        Err(ProviderError::new(ErrorClass::Unsupported, message))
    }

    async fn fingerprint(&self, path: &Path) -> Result<Arc<Fingerprint>, ProviderError> {
        let metadata = tokio::fs::metadata(path).await.map_err(|error| no_program(path, &error))?;
        let (bytes, modified) = (metadata.len(), metadata.modified().ok());
        let known = self.sums.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some(known) = known
            && known.bytes == bytes
            && known.modified == modified
        {
            return Ok(known);
        }
        let owned = path.to_owned();
        let summed = tokio::task::spawn_blocking(move || sum_of(&owned)).await;
        let sum = summed
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|error| no_program(path, &error))?;
        let made = Arc::new(Fingerprint { bytes, modified, sum });
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.insert(path.to_owned(), Arc::clone(&made));
        drop(sums);
        Ok(made)
    }
}

/// The script for a worker on a host. Without a sum it fetches the program itself, as one
/// does who runs it by hand.
#[must_use]
pub fn script(settings: &SshSettings, order: &Order, sum: Option<&str>) -> String {
    let place = Place {
        directory: format!("{}/{}", settings.directory, order.worker),
        program: sum.map_or(Program::Fetched, |sum| Program::Copied(sum.to_owned())),
        service: settings.service,
        notice: String::new(),
    };
    provisioning_script(order, &settings.preparation, &place)
}

/// Makes a worker of the host, or brings one up to date: its commands go on.
///
/// # Errors
/// Classed; what was done by then is skipped the next time.
pub async fn install(
    connection: &Connection,
    settings: &SshSettings,
    programs: &Programs,
    order: &Order,
    journal: &dyn Journal,
) -> Result<(), ProviderError> {
    let directory = format!("{}/{}", settings.directory, order.worker);
    let found = Installed::look(connection, &order.worker, &directory).await?;
    let mine = format!("{} {}", order.tag, order.worker);
    if !found.hired.is_empty() && found.hired != mine {
        let message = format!("`{directory}` there belongs to another worker: {}", found.hired);
        return Err(ProviderError::new(ErrorClass::Unsupported, message));
    }
    let host: Host = connection.host().clone();
    let path = programs.path(&host, &found.architecture)?;
    let program = programs.fingerprint(&path).await?;
    if program.sum != found.sum {
        if !found.version.is_empty() {
            journal.line(&format!("version {} is there, and is replaced", found.version));
        }
        copy_program(connection, &path, &program, &directory, journal).await?;
    }
    let token = token_text(order);
    let to = token_file(&directory);
    connection.send(token.as_bytes(), &to, &mut |_| {}).await?;
    if let Some(logins) = &settings.registry_logins {
        let file = tokio::fs::File::open(logins).await.map_err(|error| {
            let message = format!("cannot read `{}`: {error}", logins.display());
            ProviderError::new(ErrorClass::Unsupported, message)
        })?;
        connection.send(file, REGISTRY_LOGINS, &mut |_| {}).await?;
    }
    let script = script(settings, order, Some(&program.sum));
    connection.run(&script, &mut |line| tell(journal, line)).await
}

/// Takes a worker off its host.
///
/// # Errors
/// Something of it may still be there.
pub async fn remove(
    connection: &Connection,
    hired: &Hired,
    directory: &str,
    journal: &dyn Journal,
) -> Result<(), ProviderError> {
    let script = removal_script(&hired.worker, &hired.tag, directory);
    connection.run(&script, &mut |line| tell(journal, line)).await
}

/// A line of a script: a step has how far it is in front.
pub fn tell(journal: &dyn Journal, line: &str) {
    if let Some(rest) = line.strip_prefix("== ")
        && let Some((percent, step)) = rest.split_once(' ')
        && let Ok(percent) = percent.parse()
    {
        journal.progress(percent);
        return journal.line(step);
    }
    if !line.trim().is_empty() {
        journal.line(line.trim_end());
    }
}

async fn copy_program(
    connection: &Connection,
    path: &Path,
    program: &Fingerprint,
    directory: &str,
    journal: &dyn Journal,
) -> Result<(), ProviderError> {
    journal.line(&format!("copying the program, {} MiB", program.bytes >> 20));
    let file = tokio::fs::File::open(path).await.map_err(|error| no_program(path, &error))?;
    let total = program.bytes.max(1);
    let mut told = 0;
    let mut on_progress = |sent: u64| {
        let (from, to) = COPYING;
        let percent = from + (to - from) * sent.min(total) / total;
        if percent > told {
            told = percent;
            journal.progress(u8::try_from(percent).unwrap_or(u8::MAX));
        }
    };
    connection.send(file, &format!("{directory}/bin/scitq.new"), &mut on_progress).await
}

fn sum_of(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut piece)?;
        match piece.get(..count) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            _ => break,
        }
    }
    Ok(hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn no_program(path: &Path, error: &std::io::Error) -> ProviderError {
    let message = format!("cannot read the program `{}`: {error}", path.display());
    ProviderError::new(ErrorClass::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::flavor::RegionName;
    use crate::server::hiring::provider::{HeadTag, MachineId};

    const LOOK: &str = "architecture x86_64\nuser ada\nwritable yes\nfree_kib 1000000\n\
        hired head-1 lab-node1\nsum abc\nversion 2.0.0\nagent active\n";

    #[test]
    fn a_host_says_what_is_on_it() {
        let found = Installed::read(LOOK);
        assert_eq!((found.free_kib, found.version.as_str()), (1_000_000, "2.0.0"));
        let host: Host = "node1.lab".parse().unwrap();
        let mut hired = Hired {
            worker: "lab-node1".into(),
            tag: HeadTag("head-1".into()),
            region: RegionName::new("lab"),
            machine: Some(MachineId("node1.lab".to_owned())),
        };
        let running = MachineStatus::Running { addresses: vec!["node1.lab".to_owned()] };
        assert_eq!(found.status(&host, &hired), running);
        let stopped = Installed { agent: "failed".to_owned(), ..found.clone() };
        assert!(matches!(stopped.status(&host, &hired), MachineStatus::Failed(_)));
        hired.tag = HeadTag("head-2".into());
        assert_eq!(found.status(&host, &hired), MachineStatus::Building);
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_used_says_why() {
        let programs = Programs::new(BTreeMap::new());
        let host: Host = "node1.lab".parse().unwrap();
        let own = Installed {
            architecture: std::env::consts::ARCH.to_owned(),
            free_kib: u64::MAX,
            ..Installed::read(LOOK)
        };
        programs.fits(&host, &own, "/d").await.unwrap();
        for (found, class, part) in [
            (
                Installed { architecture: "riscv64".to_owned(), ..own.clone() },
                ErrorClass::Unsupported,
                "name a program for it as `programs.riscv64`",
            ),
            (
                Installed { is_writable: false, ..own.clone() },
                ErrorClass::Authentication,
                "user ada may not write to `/d`",
            ),
            (Installed { free_kib: 10, ..own }, ErrorClass::Capacity, "its disk is full"),
        ] {
            let error = programs.fits(&host, &found, "/d").await.unwrap_err();
            assert_eq!(error.class, class);
            assert!(error.message.contains(part), "{error}");
        }
    }
}
