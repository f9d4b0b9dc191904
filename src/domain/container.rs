//! What a task can ask of the engine that runs its container: the options of
//! `docker run` that make sense for a task, under the names that people know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use thiserror::Error;
use utoipa::ToSchema;

/// When the image of a task is fetched.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Pull {
    /// Before each run, so that a tag that has moved is followed.
    Always,
    /// When the worker does not have it.
    #[default]
    Missing,
    /// Not at all: a worker that does not have it fails the task.
    Never,
}

/// The options of a container, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerOptions {
    /// Folders and volumes, `SOURCE:TARGET[:MODE]`.
    pub volumes: Vec<String>,
    /// Memory file systems by their place, with their mount options.
    pub tmpfs: BTreeMap<String, String>,
    /// Variables, `NAME=VALUE`.
    pub env: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub devices: Vec<Device>,
    pub gpus: Option<Gpus>,
    pub network: Option<String>,
    pub ipc: Option<String>,
    pub pid: Option<String>,
    pub userns: Option<String>,
    pub runtime: Option<String>,
    pub user: Option<String>,
    pub group_add: Vec<String>,
    /// The empty text takes the image's entry point away.
    pub entrypoint: Option<String>,
    pub workdir: Option<String>,
    pub hostname: Option<String>,
    pub stop_signal: Option<String>,
    pub cpuset: Option<String>,
    pub cpu_shares: Option<i64>,
    /// Billionths of a core.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Memory and swap together, bytes; −1: without a limit.
    pub memory_swap: Option<i64>,
    /// Bytes.
    pub shm_size: Option<i64>,
    pub pids_limit: Option<i64>,
    pub oom_score_adj: Option<i64>,
    pub ulimits: Vec<Ulimit>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security: Vec<String>,
    pub sysctls: BTreeMap<String, String>,
    pub dns: Vec<String>,
    /// `NAME:ADDRESS`.
    pub hosts: Vec<String>,
    pub switches: Switches,
}

/// What is on or off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the engine")]
pub struct Switches {
    pub privileged: bool,
    /// A small first process that waits for orphans and passes signals on.
    pub init: bool,
    /// The image's own files cannot be changed.
    pub read_only: bool,
    pub oom_kill_disable: bool,
}

/// A device of the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub source: String,
    pub target: String,
    /// Of `r`, `w` and `m`.
    pub permissions: String,
}

/// Which graphics processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    All,
    Count(i64),
    Named(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// Why options are none that a container can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionError {
    #[error("the container options have a quote that is not closed: {line}")]
    Quote { line: String },
    #[error("`{word}` is no container option")]
    NoOption { word: String },
    #[error("the container option `{option}` is not known")]
    Unknown { option: String },
    #[error("the container option `{option}` is not for tasks: {reason}")]
    NotForTasks { option: String, reason: &'static str },
    #[error("the container option `{option}` needs a value")]
    NoValue { option: String },
    #[error("the container option `{option}` cannot be `{value}`: {reason}")]
    Value { option: String, value: String, reason: &'static str },
}

impl ContainerOptions {
    /// Reads a line of options, split as a shell splits words.
    ///
    /// # Errors
    /// An option that is not known, is not for tasks, or has no such value.
    pub fn parse(line: &str) -> Result<Self, OptionError> {
        let words =
            shlex::split(line).ok_or_else(|| OptionError::Quote { line: line.to_owned() })?;
        let mut options = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, attached) = split(&word)?;
            if options.switch(&name, attached.as_deref())? {
                continue;
            }
            if let Some(reason) = not_for_tasks(&name) {
                return Err(OptionError::NotForTasks { option: name, reason });
            }
            if !takes_value(&name) {
                return Err(OptionError::Unknown { option: name });
            }
            let value = attached.or_else(|| words.next());
            let Some(value) = value else { return Err(OptionError::NoValue { option: name }) };
            options.set(&name, &value).map_err(|reason| OptionError::Value {
                option: name,
                value,
                reason,
            })?;
        }
        Ok(options)
    }

    /// Sets a switch, if there is one of that name.
    fn switch(&mut self, name: &str, value: Option<&str>) -> Result<bool, OptionError> {
        let switches = &mut self.switches;
        let switch = match name {
            "--privileged" => &mut switches.privileged,
            "--init" => &mut switches.init,
            "--read-only" => &mut switches.read_only,
            "--oom-kill-disable" => &mut switches.oom_kill_disable,
            // Containers of tasks are always removed.
            "--rm" => return Ok(true),
            _ => return Ok(false),
        };
        *switch = match value {
            None | Some("true") => true,
            Some("false") => false,
            Some(value) => {
                let (option, value) = (name.to_owned(), value.to_owned());
                let reason = "it is `true` or `false`";
                return Err(OptionError::Value { option, value, reason });
            }
        };
        Ok(true)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let text = || Some(value.to_owned());
        match name {
            "-v" | "--volume" => self.volumes.push(volume(value)?),
            "--tmpfs" => {
                let (place, options) = value.split_once(':').unwrap_or((value, ""));
                absolute(place)?;
                self.tmpfs.insert(place.to_owned(), options.to_owned());
            }
            "-e" | "--env" => self.env.push(variable(value)?),
            "-l" | "--label" => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                self.labels.insert(key.to_owned(), value.to_owned());
            }
            "--device" => self.devices.push(device(value)?),
            "--gpus" => self.gpus = Some(gpus(value)?),
            "--net" | "--network" => self.network = text(),
            "--ipc" => self.ipc = text(),
            "--pid" => self.pid = text(),
            "--userns" => self.userns = text(),
            "--runtime" => self.runtime = text(),
            "-u" | "--user" => self.user = text(),
            "--group-add" => self.group_add.push(value.to_owned()),
            "--entrypoint" => self.entrypoint = text(),
            "-w" | "--workdir" => self.workdir = text(),
            "-h" | "--hostname" => self.hostname = text(),
            "--stop-signal" => self.stop_signal = text(),
            "--cpuset-cpus" => self.cpuset = text(),
            "-c" | "--cpu-shares" => self.cpu_shares = Some(number(value)?),
            "--cpus" => self.nano_cpus = Some(cores(value)?),
            "-m" | "--memory" => self.memory = Some(size(value)?),
            "--memory-swap" if value == "-1" => self.memory_swap = Some(-1),
            "--memory-swap" => self.memory_swap = Some(size(value)?),
            "--shm-size" => self.shm_size = Some(size(value)?),
            "--pids-limit" => self.pids_limit = Some(number(value)?),
            "--oom-score-adj" => self.oom_score_adj = Some(number(value)?),
            "--ulimit" => self.ulimits.push(ulimit(value)?),
            "--cap-add" => self.cap_add.push(value.to_owned()),
            "--cap-drop" => self.cap_drop.push(value.to_owned()),
            "--security-opt" => self.security.push(value.to_owned()),
            "--sysctl" => {
                let (key, value) = value.split_once('=').ok_or("it has the form NAME=VALUE")?;
                self.sysctls.insert(key.to_owned(), value.to_owned());
            }
            "--dns" => self.dns.push(value.to_owned()),
            "--add-host" => {
                value.split_once(':').ok_or("it has the form NAME:ADDRESS")?;
                self.hosts.push(value.to_owned());
            }
            _ => return Err("nothing is known of it"),
        }
        Ok(())
    }
}

/// Splits `--name=value` and `-nvalue`.
fn split(word: &str) -> Result<(String, Option<String>), OptionError> {
    let no_option = || OptionError::NoOption { word: word.to_owned() };
    if word.starts_with("--") {
        return Ok(match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word.to_owned(), None),
        });
    }
    let rest = word.strip_prefix('-').ok_or_else(no_option)?;
    let mut rest = rest.chars();
    let letter = rest.next().ok_or_else(no_option)?;
    let value = rest.as_str();
    let value = value.strip_prefix('=').unwrap_or(value);
    Ok((format!("-{letter}"), (!value.is_empty()).then(|| value.to_owned())))
}

const WITH_VALUE: [&str; 41] = [
    "-v",
    "--volume",
    "--tmpfs",
    "-e",
    "--env",
    "-l",
    "--label",
    "--device",
    "--gpus",
    "--net",
    "--network",
    "--ipc",
    "--pid",
    "--userns",
    "--runtime",
    "-u",
    "--user",
    "--group-add",
    "--entrypoint",
    "-w",
    "--workdir",
    "-h",
    "--hostname",
    "--stop-signal",
    "--cpuset-cpus",
    "-c",
    "--cpu-shares",
    "--cpus",
    "-m",
    "--memory",
    "--memory-swap",
    "--shm-size",
    "--pids-limit",
    "--oom-score-adj",
    "--ulimit",
    "--cap-add",
    "--cap-drop",
    "--security-opt",
    "--sysctl",
    "--dns",
    "--add-host",
];

fn takes_value(name: &str) -> bool {
    WITH_VALUE.contains(&name)
}

fn not_for_tasks(name: &str) -> Option<&'static str> {
    match name {
        "-d" | "--detach" => Some("scitq waits for the command"),
        "-i" | "--interactive" => Some("what it reads is given by `stdin`"),
        "-t" | "--tty" => Some("nobody sits at a terminal"),
        "--name" => Some("scitq names the containers"),
        "--log-driver" | "--log-opt" => Some("scitq keeps the output"),
        "--restart" => Some("scitq tries again by `retry`"),
        "--pull" => Some("it is `pull` of the task"),
        _ => None,
    }
}

fn absolute(path: &str) -> Result<(), &'static str> {
    if path.starts_with('/') { Ok(()) } else { Err("the place in the container begins with `/`") }
}

fn volume(value: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = value.split(':').collect();
    match parts.as_slice() {
        [target] => absolute(target)?,
        [source, target] | [source, target, _] if !source.is_empty() => absolute(target)?,
        _ => return Err("it has the form SOURCE:TARGET or SOURCE:TARGET:ro"),
    }
    Ok(value.to_owned())
}

/// A name alone would take the value of the agent's own variable, which no
/// task can know.
fn variable(value: &str) -> Result<String, &'static str> {
    match value.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(value.to_owned()),
        _ => Err("it has the form NAME=VALUE"),
    }
}

fn device(value: &str) -> Result<Device, &'static str> {
    let parts: Vec<&str> = value.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, target] if target.starts_with('/') => (*source, *target, "rwm"),
        [source, permissions] => (*source, *source, *permissions),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => return Err("it has the form SOURCE[:TARGET][:PERMISSIONS]"),
    };
    let [source, target, permissions] = [source, target, permissions].map(str::to_owned);
    Ok(Device { source, target, permissions })
}

fn gpus(value: &str) -> Result<Gpus, &'static str> {
    let value = value.trim_matches('"');
    if value == "all" {
        return Ok(Gpus::All);
    }
    if let Ok(count) = value.parse::<i64>()
        && count > 0
    {
        return Ok(Gpus::Count(count));
    }
    match value.strip_prefix("device=") {
        Some(names) if !names.is_empty() => {
            Ok(Gpus::Named(names.split(',').map(str::to_owned).collect()))
        }
        _ => Err("it is `all`, a number or `device=ID,…`"),
    }
}

fn ulimit(value: &str) -> Result<Ulimit, &'static str> {
    let form = "it has the form NAME=SOFT or NAME=SOFT:HARD";
    let (name, limits) = value.split_once('=').ok_or(form)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let parse = |text: &str| text.parse::<i64>().map_err(|_| form);
    Ok(Ulimit { name: name.to_owned(), soft: parse(soft)?, hard: parse(hard)? })
}

fn number(value: &str) -> Result<i64, &'static str> {
    value.parse().map_err(|_| "it is a whole number")
}

/// Cores in decimal notation, as billionths.
fn cores(value: &str) -> Result<i64, &'static str> {
    let form = "it is a number of cores, as in 1.5";
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if part.len() > 9 || (whole.is_empty() && part.is_empty()) {
        return Err(form);
    }
    let digits = |text: &str| match text {
        "" => Ok(0),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse::<i64>().map_err(|_| form)
        }
        _ => Err(form),
    };
    let nanos = digits(&format!("{part:0<9}"))?;
    let total = digits(whole)?.checked_mul(1_000_000_000).and_then(|all| all.checked_add(nanos));
    total.filter(|nanos| *nanos > 0).ok_or(form)
}

/// Bytes, with the units of `docker run`: b, k, m, g, each 1,024 times the last.
fn size(value: &str) -> Result<i64, &'static str> {
    let form = "it is a size, as in 512m or 8g";
    let lower = value.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let lower = lower.strip_suffix('i').unwrap_or(lower);
    let (digits, shift) = match lower.char_indices().last() {
        Some((at, 'k')) => (lower.get(..at), 10),
        Some((at, 'm')) => (lower.get(..at), 20),
        Some((at, 'g')) => (lower.get(..at), 30),
        Some((at, 't')) => (lower.get(..at), 40),
        _ => (Some(lower), 0),
    };
    let number = digits.and_then(|digits| digits.parse::<i64>().ok()).filter(|number| *number > 0);
    number.and_then(|number| number.checked_mul(1 << shift)).ok_or(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> ContainerOptions {
        ContainerOptions::parse(line).unwrap()
    }

    #[test]
    fn every_option_is_in_the_documentation() {
        let page = include_str!("../../docs/containers.md");
        let missing: Vec<&&str> =
            WITH_VALUE.iter().filter(|option| !page.contains(&format!("`{option}`"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn options_are_read_in_all_their_forms() {
        let options = parse(
            "--gpus all -v /a:/b:ro --volume=c:/d -eX=1 --env 'Y=a b' --network=none -u 7 \
             --init --privileged=false --rm --device /dev/fuse --entrypoint '' --tmpfs /t:size=1m",
        );
        assert_eq!(options.gpus, Some(Gpus::All));
        assert_eq!(options.volumes, ["/a:/b:ro", "c:/d"]);
        assert_eq!(options.env, ["X=1", "Y=a b"]);
        assert_eq!(options.network.as_deref(), Some("none"));
        assert_eq!(options.user.as_deref(), Some("7"));
        assert!(options.switches.init && !options.switches.privileged);
        assert_eq!(options.devices.len(), 1);
        assert_eq!(options.entrypoint.as_deref(), Some(""));
        assert_eq!(options.tmpfs["/t"], "size=1m");
        assert_eq!(parse(""), ContainerOptions::default());
    }

    #[test]
    fn sizes_cores_and_limits_have_their_units() {
        let options = parse("-m512m --memory-swap -1 --shm-size=2G --cpus 1.5 --ulimit nofile=7:9");
        assert_eq!((options.memory, options.memory_swap), (Some(512 << 20), Some(-1)));
        assert_eq!((options.shm_size, options.nano_cpus), (Some(2 << 30), Some(1_500_000_000)));
        let limit = Ulimit { name: "nofile".to_owned(), soft: 7, hard: 9 };
        assert_eq!(options.ulimits, [limit]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        let error = |line| ContainerOptions::parse(line).unwrap_err().to_string();
        assert_eq!(error("--gpu all"), "the container option `--gpu` is not known");
        assert_eq!(error("-v"), "the container option `-v` needs a value");
        assert_eq!(error("busybox"), "`busybox` is no container option");
        assert_eq!(
            error("--cpus many"),
            "the container option `--cpus` cannot be `many`: it is a number of cores, as in 1.5"
        );
        assert_eq!(
            error("-d"),
            "the container option `-d` is not for tasks: scitq waits for the command"
        );
    }
}
