//! Workers on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::execution::Phase;
use crate::domain::worker::{Machine, SeenState, WantedState, WorkerState, WorkerStats};
use crate::domain::{BatchName, ExecutionId, TaskId, Timestamp, WorkerId};

use super::batch::Slots;
use super::hiring::HireView;

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    pub id: WorkerId,
    pub name: String,
    pub batch: BatchName,
    /// The one word that lists show.
    pub state: WorkerState,
    pub wanted: WantedState,
    pub seen: SeenState,
    pub concurrency: u32,
    pub prefetch: u32,
    pub machine: Machine,
    /// Version of the agent.
    pub version: String,
    /// Why it was taken out of service, when its state is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its slots, and how many are taken by what runs or is about to.
    pub slots: Slots,
    /// Silent for longer, it has lost its tasks. Seconds; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_after_seconds: Option<u64>,
    /// What its agent holds and this server does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<Orphan>,
    /// Executions that it was given and has not taken.
    pub assigned: u32,
    /// Executions that it has and that do not run yet.
    pub accepted: u32,
    pub running: u32,
    /// Executions on it that succeeded, ever.
    pub succeeded: u64,
    /// Executions on it that failed, ever.
    pub failed: u64,
    pub registered_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<WorkerStats>,
    pub created_by: String,
    /// Its machine, where the head has hired it: such a worker is not permanent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hire: Option<HireView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerList {
    pub workers: Vec<WorkerView>,
}

/// `PATCH /api/v2/workers/{id}`: what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorker {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100_000)]
    pub concurrency: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100_000)]
    pub prefetch: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<WantedState>,
}

/// An execution that an agent holds and its server does not know: it comes from
/// another database, or from this one before it was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Orphan {
    pub execution: ExecutionId,
    pub task: TaskId,
    /// Whether it comes from this database, before it was restored: then it can
    /// be adopted.
    pub own_store: bool,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// It has ended, and its end was told to nobody.
    pub ended: bool,
    pub command: String,
}

/// `POST /api/v2/workers/{id}/orphans/adopt` and `…/abandon`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrphanIds {
    /// Empty: all of them.
    #[serde(default)]
    pub executions: Vec<ExecutionId>,
}

/// What became of orphans.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct HandledOrphans {
    pub done: Vec<ExecutionId>,
    /// Those that cannot be adopted, with the reason.
    pub refused: Vec<RefusedOrphan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedOrphan {
    pub execution: ExecutionId,
    pub reason: String,
}

/// `POST /api/v2/workers/{id}/clean`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanWorker {
    pub what: Clean,
}

/// What is taken off a worker's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Clean {
    /// The kept folders of tasks that have ended.
    Tasks,
    /// Resources that no task uses.
    Resources,
}
