//! Batches on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::BatchName;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;

/// One batch with its live counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchView {
    pub name: BatchName,
    /// Tasks per state, all states named.
    pub tasks: BTreeMap<TaskState, u64>,
    /// Workers per state, only states that occur.
    pub workers: BTreeMap<WorkerState, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchList {
    pub batches: Vec<BatchView>,
}
