//! Workers on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::worker::{Machine, SeenState, WantedState, WorkerState, WorkerStats};
use crate::domain::{BatchName, Timestamp, WorkerId};

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
