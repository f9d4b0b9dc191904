//! The variables that a task finds in its environment.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::Job;
use crate::domain::byte_string::ByteString;
use crate::domain::demand::Demand;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What tasks learn of the worker that they run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerFacts {
    pub name: String,
    /// Address of the server, for tasks that queue tasks.
    pub server: String,
    /// Processor cores that the agent may use.
    pub cores: u32,
    /// Main memory, bytes.
    pub memory_bytes: u64,
    /// How many commands run at once.
    pub concurrency: u32,
    pub user: UserEnvironment,
}

/// What a command outside of containers takes from the agent's user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEnvironment {
    pub path: OsString,
    pub home: OsString,
    pub user: OsString,
    /// None when the agent has none.
    pub lang: Option<OsString>,
}

/// Paths under which a command finds its folders: those of the worker, or
/// those inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    pub input: PathBuf,
    pub output: PathBuf,
    pub resource: PathBuf,
    pub temp: PathBuf,
}

impl UserEnvironment {
    /// Reads the environment of this process, and `/etc/passwd` for what an
    /// init system does not set.
    #[must_use]
    pub fn of_this_process() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let account = find_account(&passwd, rustix::process::getuid().as_raw());
        let (name, home) = account.unwrap_or(("", "/"));
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            path: set("PATH").unwrap_or_else(|| DEFAULT_PATH.into()),
            home: set("HOME").unwrap_or_else(|| home.into()),
            user: set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| name.into()),
            lang: set("LANG"),
        }
    }
}

impl WorkerFacts {
    /// A task's share of the cores, at least 1.
    #[must_use]
    pub fn cores_per_task(&self) -> u32 {
        (self.cores / self.concurrency.max(1)).max(1)
    }

    /// A task's share of the memory in MiB, at least 1.
    #[must_use]
    pub fn mebibytes_per_task(&self) -> u64 {
        (self.memory_bytes / u64::from(self.concurrency.max(1)) / (1 << 20)).max(1)
    }
}

/// All variables of a command that runs on the worker itself, those of the
/// task's own last. Where a name comes twice, the last one counts.
#[must_use]
pub fn on_worker(job: &Job<'_>) -> Vec<(ByteString, ByteString)> {
    let user = &job.worker.user;
    let mut variables = Vec::with_capacity(20 + job.spec.env.len());
    variables.push(("PATH".into(), user.path.clone().into()));
    variables.push(("HOME".into(), user.home.clone().into()));
    variables.push(("USER".into(), user.user.clone().into()));
    if let Some(lang) = &user.lang {
        variables.push(("LANG".into(), lang.clone().into()));
    }
    let surroundings = Surroundings {
        input: job.dirs.input(),
        output: job.dirs.output(),
        resource: job.dirs.resource(),
        temp: job.dirs.temp(),
    };
    push_own(&mut variables, job, &surroundings);
    variables
}

/// The variables that are scitq's own, and those of the task.
fn push_own(
    variables: &mut Vec<(ByteString, ByteString)>,
    job: &Job<'_>,
    surroundings: &Surroundings,
) {
    let Job { execution, task, attempt, spec, worker, .. } = *job;
    let demand = Demand::of(spec);
    let cores = if demand.cpu > 0 { demand.cpu } else { worker.cores_per_task() }.to_string();
    let mebibytes = match demand.memory_mib {
        0 => worker.mebibytes_per_task(),
        wanted => wanted.into(),
    };
    let path = |path: &Path| ByteString::from(path.as_os_str().to_owned());
    let text = |value: &dyn ToString| ByteString::from(value.to_string());
    variables.extend([
        ("INPUT".into(), path(&surroundings.input)),
        ("OUTPUT".into(), path(&surroundings.output)),
        ("RESOURCE".into(), path(&surroundings.resource)),
        ("TEMP".into(), path(&surroundings.temp)),
        ("CPU".into(), cores.clone().into()),
        ("THREADS".into(), cores.into()),
        ("MEM".into(), text(&mebibytes)),
        ("SCITQ_TASK_ID".into(), text(&task)),
        ("SCITQ_TASK_NAME".into(), spec.name.as_deref().unwrap_or_default().into()),
        ("SCITQ_EXECUTION_ID".into(), text(&execution)),
        ("SCITQ_ATTEMPT".into(), text(&attempt)),
        ("SCITQ_BATCH".into(), spec.batch.as_str().into()),
        ("SCITQ_WORKER".into(), worker.name.as_str().into()),
        ("SCITQ_SERVER".into(), worker.server.as_str().into()),
    ]);
    variables
        .extend(spec.env.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())));
}

/// Name and home of a user, from the text of `/etc/passwd`.
fn find_account(passwd: &str, uid: u32) -> Option<(&str, &str)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [name, _, number, _, _, home, ..] if number.parse() == Ok(uid) => Some((*name, *home)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(find_account(passwd, 1000), Some(("ada", "/home/ada")));
        assert_eq!(find_account(passwd, 7), None);
    }

    #[test]
    fn a_process_has_a_path_and_a_home() {
        let user = UserEnvironment::of_this_process();
        assert!(!user.path.is_empty());
        assert!(!user.home.is_empty());
    }
}
