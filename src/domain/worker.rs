//! A worker: one agent on one machine.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::batch::BatchName;

/// What people want of a worker.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
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
pub enum WantedState {
    Running,
    /// Takes nothing new; what it holds goes on.
    Paused,
    /// Takes nothing new and leaves after its last execution.
    Draining,
}

/// How the server sees a worker.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
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
pub enum SeenState {
    Online,
    /// Silent for longer than `offline_after`.
    Offline,
    /// Failed too many tasks in a row for reasons of its own.
    Failed,
    /// Taken away by its provider.
    Evicted,
}

/// The one word that lists show, derived from the wanted and the seen state.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
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
pub enum WorkerState {
    Running,
    Paused,
    Draining,
    Offline,
    Failed,
    Evicted,
}

impl WorkerState {
    /// The word for a worker wanted and seen like that.
    #[must_use]
    pub const fn derive(wanted: WantedState, seen: SeenState) -> Self {
        match (seen, wanted) {
            (SeenState::Evicted, _) => Self::Evicted,
            (SeenState::Failed, _) => Self::Failed,
            (SeenState::Offline, _) => Self::Offline,
            (SeenState::Online, WantedState::Running) => Self::Running,
            (SeenState::Online, WantedState::Paused) => Self::Paused,
            (SeenState::Online, WantedState::Draining) => Self::Draining,
        }
    }
}

/// What people can set on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerSettings {
    pub batch: BatchName,
    /// How many commands may run at once.
    pub concurrency: u32,
    /// How many more executions it may hold, to fetch their data ahead.
    pub prefetch: u32,
}

/// What a machine is, as its agent tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    pub hostname: String,
    /// Stays the same over restarts of the machine (`/etc/machine-id`).
    pub machine_id: String,
    /// Processor cores that the agent may use.
    pub cores: u32,
    /// Main memory, bytes.
    pub memory_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    /// Where it stands, as people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whose machine it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What runs containers there, with its version; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Whether the kernel keeps commands within their memory; absent where the
    /// agent does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<MemoryLimit>,
    #[serde(default, skip_serializing_if = "Protocol::is_link")]
    pub protocol: Protocol,
}

impl Machine {
    /// One of which only this is known. The original knows a worker by its name and
    /// its host, and does not say what its machine is. It runs containers by the
    /// program `docker`, and does not say whether that is there.
    #[must_use]
    pub fn of_the_original(hostname: String) -> Self {
        Self {
            machine_id: format!("rest:{hostname}"),
            hostname,
            engine: Some("docker".to_owned()),
            protocol: Protocol::Rest,
            ..Self::default()
        }
    }
}

/// Whether the kernel keeps a command within the memory that its task asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemoryLimit {
    /// By a control group for each command; what it used is counted exactly.
    Cgroup { version: u8 },
    /// It does not, for this reason. Memory is set apart when work is given out,
    /// and nothing more.
    None { reason: String },
}

/// How a worker's agent speaks with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Over a link that it keeps open.
    #[default]
    Link,
    /// It is a worker of the original, which asks over the REST API.
    Rest,
}

impl Protocol {
    /// The silence after which such a worker counts as lost at the earliest,
    /// where it does not say itself. A worker of the original stops asking for
    /// two and a half minutes after each request that fails.
    #[must_use]
    pub const fn lease(self) -> Option<Duration> {
        match self {
            Self::Link => None,
            Self::Rest => Some(Duration::from_mins(30)),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
    const fn is_link(&self) -> bool {
        matches!(self, Self::Link)
    }
}

/// Live figures of a machine. Rates are means since the figures before.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct WorkerStats {
    /// CPU time in user mode, percent of all cores.
    pub cpu_user_percent: f64,
    /// CPU time waiting for input and output, percent of all cores.
    pub cpu_iowait_percent: f64,
    /// Memory in use (total − available), percent.
    pub memory_percent: f64,
    /// Load average over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Use of each mounted disk, percent, by mount point.
    pub disk_percent: BTreeMap<String, f64>,
    pub disk_read: Rate,
    pub disk_write: Rate,
    pub network_sent: Rate,
    pub network_received: Rate,
}

/// A flow of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Rate {
    /// Bytes per second since the figures before.
    pub bytes_per_second: f64,
    /// Bytes since the agent started.
    pub total_bytes: u64,
}
