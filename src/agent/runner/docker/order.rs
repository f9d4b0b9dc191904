//! What a watcher is told, and what it tells in the end.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::engine::Address;
use super::{SUBCOMMAND, body};
use crate::agent::runner::Job;
use crate::agent::runner::environment::{self, Surroundings};
use crate::agent::runner::process::{self, CommandError};
use crate::agent::supervisor::SpawnRequest;
use crate::agent::workdir::TaskDirs;
use crate::domain::StoreId;
use crate::domain::byte_string::ByteString;
use crate::domain::execution::ResourceUsage;

/// Labels by which containers are found again.
pub const WORKDIR_LABEL: &str = "scitq.workdir";
pub const EXECUTION_LABEL: &str = "scitq.execution";
/// On the containers of people who run a task by hand: the folder of the task.
pub const BY_HAND_LABEL: &str = "scitq.by-hand";
const TASK_LABEL: &str = "scitq.task";
const STORE_LABEL: &str = "scitq.store";

/// A folder that workers may share with all their tasks.
const SHARED: &str = "/data";

/// All that it takes to run one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerOrder {
    pub engine: Address,
    pub name: String,
    pub image: String,
    /// Options as `docker run` has them.
    pub options: String,
    pub arguments: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    pub mounts: Vec<Mount>,
    pub labels: BTreeMap<String, String>,
    /// `UID` or `UID:GID`; none: the image's user.
    pub user: Option<String>,
    /// Limit on its memory, bytes.
    pub memory: Option<u64>,
    /// What it reads.
    pub stdin: Option<PathBuf>,
    /// Folders whose files shall belong to the agent's user in the end.
    pub give_back: Vec<PathBuf>,
    /// Where the [`Report`] goes.
    pub report: PathBuf,
}

/// A folder of the worker within the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub source: PathBuf,
    pub target: String,
    pub access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    Read,
    Write,
}

/// What a watcher leaves behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub end: End,
    /// What it used; none when it was not there for long enough to be asked.
    #[serde(default)]
    pub usage: Option<ResourceUsage>,
    /// The container is gone.
    pub removed: bool,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Exited {
        code: i32,
    },
    /// The kernel ended it since it used more memory than it may.
    OutOfMemory {
        code: i32,
    },
    /// Nobody knows how it ended, or it ended with its engine.
    Lost {
        reason: String,
    },
    /// It was never started.
    Refused {
        /// What `docker run` would answer; none when it is the engine's fault.
        exit_code: Option<i32>,
        reason: String,
    },
}

/// The file that tells a watcher what to do.
#[must_use]
pub fn order_file(dirs: &TaskDirs) -> PathBuf {
    dirs.root().join("container.json")
}

/// The file of the watcher's last words.
#[must_use]
pub fn report_file(dirs: &TaskDirs) -> PathBuf {
    dirs.root().join("container-end.json")
}

/// Reads the report of a watcher that has ended; none when it left none.
#[must_use]
pub fn read_report(dirs: &TaskDirs) -> Option<Report> {
    serde_json::from_slice(&fs::read(report_file(dirs)).ok()?).ok()
}

/// Reads the order of a watcher; none when the task has no container.
#[must_use]
pub fn read_order(dirs: &TaskDirs) -> Option<ContainerOrder> {
    serde_json::from_slice(&fs::read(order_file(dirs)).ok()?).ok()
}

/// The name of the container of an execution.
#[must_use]
pub fn container_name(store: &StoreId, execution: crate::domain::ExecutionId) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let store: String = store.0.chars().map(safe).collect();
    format!("scitq-{store}-{execution}")
}

/// The order that starts the watcher of a container. The watcher's own order
/// is written into the task's folder.
///
/// # Errors
/// The spec is no command that a container can have.
pub fn spawn_request(
    job: &Job<'_>,
    store: &StoreId,
    engine: &Address,
    program: &Path,
) -> Result<(SpawnRequest, ContainerOrder), CommandError> {
    let mut request = process::spawn_request(job)?;
    let order = container_order(job, store, engine, &request)?;
    let words = [program.as_os_str(), SUBCOMMAND.as_ref(), "--order".as_ref()];
    request.arguments = words.iter().map(|word| ByteString::from(word.to_os_string())).collect();
    request.arguments.push(ByteString::from(order_file(job.dirs).into_os_string()));
    request.environment = environment::of_watcher(job);
    (request.stdin, request.uid, request.gid) = (None, None, None);
    Ok((request, order))
}

/// Writes the order where the watcher reads it.
///
/// # Errors
/// The task's folder cannot be written to.
pub fn write_order(dirs: &TaskDirs, order: &ContainerOrder) -> io::Result<()> {
    fs::write(order_file(dirs), serde_json::to_vec(order)?)
}

fn container_order(
    job: &Job<'_>,
    store: &StoreId,
    engine: &Address,
    request: &SpawnRequest,
) -> Result<ContainerOrder, CommandError> {
    let Job { spec, dirs, .. } = *job;
    let text = |what: &str, bytes: &ByteString| {
        String::from_utf8(bytes.as_bytes().to_vec())
            .map_err(|_| CommandError::NoText { what: what.to_owned() })
    };
    let arguments =
        request.arguments.iter().map(|word| text("an argument", word)).collect::<Result<_, _>>()?;
    let mut environment = Vec::new();
    for (name, value) in environment::in_container(job, &surroundings()) {
        environment.push(format!("{}={}", text("a name", &name)?, text("a variable", &value)?));
    }
    let shared = Some(Path::new(SHARED)).filter(|folder| folder.is_dir());
    let workdir = dirs.root().ancestors().nth(2).unwrap_or_else(|| dirs.root());
    let labels = BTreeMap::from([
        (WORKDIR_LABEL.to_owned(), workdir.to_string_lossy().into_owned()),
        (EXECUTION_LABEL.to_owned(), job.execution.to_string()),
        (TASK_LABEL.to_owned(), job.task.to_string()),
        (STORE_LABEL.to_owned(), store.0.clone()),
    ]);
    let user = match (spec.uid, spec.gid) {
        (Some(uid), Some(gid)) => Some(format!("{uid}:{gid}")),
        (Some(uid), None) => Some(uid.to_string()),
        (None, _) => None,
    };
    Ok(ContainerOrder {
        engine: engine.clone(),
        name: container_name(store, job.execution),
        image: spec.container.clone().unwrap_or_default(),
        options: spec.container_options.clone().unwrap_or_default(),
        arguments,
        environment,
        mounts: mounts(dirs, shared),
        labels,
        user,
        memory: spec.memory,
        stdin: request.stdin.clone(),
        give_back: vec![dirs.output(), dirs.temp(), dirs.input()],
        report: report_file(dirs),
    })
}

/// The folders of a container: the task's own, and what the worker shares with
/// all its tasks where it does.
fn mounts(dirs: &TaskDirs, shared: Option<&Path>) -> Vec<Mount> {
    let mut mounts = vec![
        mount(dirs.input(), "/input", Access::Write),
        mount(dirs.output(), "/output", Access::Write),
        mount(dirs.temp(), "/tmp", Access::Write),
        mount(dirs.resource(), "/resource", Access::Read),
    ];
    mounts.extend(shared.map(|folder| mount(folder.to_owned(), SHARED, Access::Write)));
    mounts
}

fn surroundings() -> Surroundings {
    Surroundings {
        input: "/input".into(),
        output: "/output".into(),
        resource: "/resource".into(),
        temp: "/tmp".into(),
    }
}

fn mount(source: PathBuf, target: &str, access: Access) -> Mount {
    Mount { source, target: target.to_owned(), access }
}

impl ContainerOrder {
    /// Whether this engine can be given it, as far as one can tell.
    ///
    /// # Errors
    /// The options are none.
    pub fn body(
        &self,
        brand: super::engine::Brand,
    ) -> Result<bollard::models::ContainerCreateBody, crate::domain::container::OptionError> {
        body::create_body(self, brand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ExecutionId;

    #[test]
    fn a_container_has_the_shared_folder_where_the_worker_has_one() {
        let dirs = TaskDirs::new(Path::new("/w"), ExecutionId(5));
        let shown = |shared: Option<&Path>| {
            let mounts = mounts(&dirs, shared);
            let shown = mounts.iter().map(|mount| {
                let Mount { source, target, access } = mount;
                format!("{} {target} {access:?}", source.display())
            });
            shown.collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(shown(Some(Path::new("/data"))), @r"
        /w/tasks/5/input /input Write
        /w/tasks/5/output /output Write
        /w/tasks/5/tmp /tmp Write
        /w/tasks/5/resource /resource Read
        /data /data Write
        ");
        assert!(!shown(None).contains("/data"));
    }
}
