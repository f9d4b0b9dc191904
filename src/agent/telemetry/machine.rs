//! What the machine is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use thiserror::Error;

use crate::domain::worker::{Machine, Protocol};

use super::memory::{effective_memory, memory_groups};
use super::proc::parse_memory;

/// Where systemd and D-Bus keep the machine's id.
const MACHINE_ID_FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// Name of the file in the agent's directory that stands in for them.
const OWN_ID_FILE: &str = "machine-id";

/// Why a machine cannot be told from others.
#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error("this machine has no `/etc/machine-id`, and none could be kept in `{path}`")]
    MachineId { path: PathBuf, source: io::Error },
}

/// What nobody but its owner can tell of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineKind {
    pub flavor: Option<String>,
    pub region: Option<String>,
    pub provider: Option<String>,
}

/// What this machine is. Cores and memory are those that the agent may use:
/// affinity and control groups count.
///
/// The machine id is that of `/etc/machine-id`, else of D-Bus. A machine that
/// has neither (most containers) gets a random one, kept in `workdir`: it
/// stays the same as long as that directory does.
pub fn detect_machine(workdir: &Path, kind: MachineKind) -> Result<Machine, TelemetryError> {
    Ok(Machine {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        machine_id: machine_id(workdir, &MACHINE_ID_FILES.map(Path::new))?,
        cores: thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_bytes: fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| parse_memory(&text))
            .map_or(0, |memory| effective_memory(memory, &memory_groups()).total),
        flavor: kind.flavor,
        region: kind.region,
        provider: kind.provider,
        engine: None,
        memory_limit: None,
        protocol: Protocol::Link,
    })
}

/// Names this boot of the machine: process ids of another boot mean nothing.
/// Empty where the kernel does not tell.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn machine_id(workdir: &Path, system_files: &[&Path]) -> Result<String, TelemetryError> {
    let path = workdir.join(OWN_ID_FILE);
    let known = system_files.iter().copied().chain([path.as_path()]).find_map(read_id);
    if let Some(id) = known {
        return Ok(id);
    }
    make_id(&path).map_err(|source| TelemetryError::MachineId { path, source })
}

/// 32 hexadecimal digits (`machine-id(5)`). Anything else is no id: images
/// carry an empty file or the word `uninitialized`.
fn read_id(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let id = text.trim();
    let is_id = id.len() == 32
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && id.bytes().any(|byte| byte != b'0');
    is_id.then(|| id.to_ascii_lowercase())
}

fn make_id(path: &Path) -> io::Result<String> {
    let random = || getrandom::u64().map_err(io::Error::other);
    let id = format!("{:016x}{:016x}", random()?, random()?);
    // A file of that name holds no id: it was cut short by a power loss.
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_cores_and_memory() {
        let workdir = tempfile::tempdir().unwrap();
        let kind = MachineKind { flavor: Some("c4".to_owned()), ..MachineKind::default() };
        let machine = detect_machine(workdir.path(), kind).unwrap();
        assert!(!machine.hostname.is_empty());
        assert_eq!(machine.machine_id.len(), 32);
        assert!(machine.cores >= 1);
        assert!(machine.memory_bytes > 1 << 20);
        assert_eq!(machine.flavor.as_deref(), Some("c4"));
        assert_eq!(boot_id().len(), 36);
    }

    #[test]
    fn a_machine_without_an_id_keeps_a_random_one() {
        let workdir = tempfile::tempdir().unwrap();
        let image = workdir.path().join("etc-machine-id");
        fs::write(&image, "uninitialized\n").unwrap();
        let first = machine_id(workdir.path(), &[&image]).unwrap();
        assert_eq!(first.len(), 32);
        assert_eq!(machine_id(workdir.path(), &[&image]).unwrap(), first);

        fs::write(&image, "3D1219C7C4C5404AAA1F6D2A48ADFDA4\n").unwrap();
        let own = machine_id(workdir.path(), &[&image]).unwrap();
        assert_eq!(own, "3d1219c7c4c5404aaa1f6d2a48adfda4");
    }

    #[test]
    fn an_id_that_cannot_be_kept_is_an_error_with_the_path() {
        let missing = Path::new("/nonexistent/workdir");
        let error = machine_id(missing, &[]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/workdir/machine-id"));
    }
}
