//! What a person who looks at many things at once wants of each: the last
//! lines of output, and the last hour of a machine.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{ExecutionId, Timestamp, WorkerId};

/// Most executions in one request for last lines.
pub const MAX_TAILS: usize = 200;

/// Longest last line that is sent, bytes.
pub const MAX_TAIL: usize = 400;

/// Query of `GET /api/v2/tails`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadTails {
    /// Ids of executions, separated by commas; 200 at the most.
    pub executions: String,
}

/// The last lines of what executions wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OutputTails {
    /// In the order of the request; those that never wrote anything have empty lines.
    pub tails: Vec<OutputTail>,
}

/// The last lines of one execution that are not empty, as far as they are
/// text; of a long one the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputTail {
    pub execution: ExecutionId,
    pub stdout: String,
    pub stderr: String,
}

/// `GET /api/v2/workers/{id}/samples`: one for each minute of the last hour in
/// which the worker told its figures. They are not kept over a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct WorkerSamples {
    /// Oldest first.
    pub samples: Vec<WorkerSample>,
}

/// A machine's figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerSample {
    pub at: Timestamp,
    /// CPU time in user mode, percent of all cores.
    pub cpu_percent: f64,
    /// CPU time waiting for input and output, percent of all cores.
    pub iowait_percent: f64,
    pub memory_percent: f64,
    /// The fullest of its disks.
    pub disk_percent: f64,
    /// Read and written.
    pub disk_bytes_per_second: f64,
    /// Sent and received.
    pub network_bytes_per_second: f64,
}

/// All figures of one worker, in the form in which the client asks for them.
#[must_use]
pub fn samples_path(worker: WorkerId) -> String {
    format!("/api/v2/workers/{worker}/samples")
}
