//! Batches on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::batch::{BatchPause, BatchSettings, LostAfter, TaskDefaults};
use crate::domain::hire::Money;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;
use crate::domain::{BatchName, TaskId};

use super::task::Dependents;

/// One batch with its live counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchView {
    pub name: BatchName,
    pub pause: BatchPause,
    /// Tasks per state, all states named.
    pub tasks: BTreeMap<TaskState, u64>,
    /// Workers per state, only states that occur.
    pub workers: BTreeMap<WorkerState, u64>,
    /// Slots of its workers that can take tasks, and how many of them are taken.
    pub slots: Slots,
    /// How long its commands that succeeded have run; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// Tasks that succeeded or failed within the last 10 minutes, a minute.
    pub throughput: f64,
    /// Seconds until its tasks are done at the present throughput, when some
    /// are left and some were done lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<f64>,
    /// What its hired machines cost in an hour, by currency.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cost_per_hour: BTreeMap<String, f64>,
    /// What they have cost to date, those that are gone as well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spent: BTreeMap<String, f64>,
}

/// Slots of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Slots {
    pub taken: u64,
    pub total: u64,
}

/// Run times of commands that succeeded, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Runtime {
    pub count: u64,
    pub mean: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// To within 5 %.
    pub median: f64,
    /// 95 of 100 took no longer; to within 5 %.
    pub percentile_95: f64,
}

/// `GET /api/v2/batches/{name}`: all about one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchDetail {
    #[serde(flatten)]
    pub batch: BatchView,
    pub settings: BatchSettings,
    /// Why none of its tasks runs, when some could and none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The failures of its tasks by reason, most frequent first; the first ten.
    pub failures: Vec<FailureGroup>,
}

/// Tasks that failed alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureGroup {
    pub reason: String,
    pub count: u64,
    /// One of them.
    pub example: TaskId,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchList {
    pub batches: Vec<BatchView>,
}

/// `PATCH /api/v2/batches/{name}`: what is absent stays as it is. A batch that
/// is not there is made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateBatch {
    /// All of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<TaskDefaults>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<Setting<LostAfter>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<Setting<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_workers: Option<Setting<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_cost: Option<Setting<Money>>,
}

/// A setting of a batch that has a default on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Setting<T> {
    /// As the server has it.
    Default,
    Value(T),
}

/// `POST /api/v2/batches/{name}/pause` and `…/go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WithTasks {
    /// Suspend the commands that run as well; let those go on that were
    /// suspended by this, and not those that a person paused one by one.
    #[serde(default)]
    pub tasks: bool,
}

/// `POST /api/v2/batches/{name}/delete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteBatch {
    #[serde(default)]
    pub dependents: Dependents,
    #[serde(default)]
    pub running: DeleteRunning,
}

/// What becomes of the commands that run when their batch is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeleteRunning {
    /// They go on, unseen, and are gone when they have ended.
    #[default]
    Keep,
    Kill,
}

/// How many tasks a change of a batch reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedBatch {
    pub tasks: u64,
}
