//! The server itself on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;
use crate::domain::{Epoch, StoreId, Timestamp};

/// `GET /api/v2/server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerStatus {
    pub version: String,
    pub store: StoreId,
    pub epoch: Epoch,
    pub started_at: Timestamp,
    pub now: Timestamp,
    /// Tasks per state, all states named.
    pub tasks: BTreeMap<TaskState, u64>,
    pub workers: BTreeMap<WorkerState, u64>,
    pub batches: u64,
    /// Size of the database with its write-ahead log, bytes.
    pub database_bytes: u64,
    /// Size of the kept output, bytes.
    pub output_bytes: u64,
    /// Free space where the data lives, bytes.
    pub disk_free_bytes: u64,
    /// Size of the disk on which the data live, bytes.
    #[serde(default)]
    pub disk_total_bytes: u64,
    /// Whole days until new tasks are refused for want of room, if the data grow
    /// as they did in the last week. None while they do not grow, and for ten
    /// minutes after the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_days_left: Option<u64>,
    /// For how many seconds after their end the output of executions is kept;
    /// none: as long as their tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_output_seconds: Option<u64>,
    /// For how many seconds after their end tasks are kept; none: until they are
    /// deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain_finished_seconds: Option<u64>,
    /// Why new tasks are refused at the moment, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortage: Option<String>,
    /// Why changes are refused at the moment, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_failure: Option<String>,
}
