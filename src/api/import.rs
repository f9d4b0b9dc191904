//! What another system had, on its way into this one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::execution::Failure;
use crate::domain::task::{TaskSpec, TaskState};
use crate::domain::{TaskId, Timestamp};

/// `POST /api/v2/import/tasks`: all come in, or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportTasks {
    /// Their requirements must be here already.
    pub tasks: Vec<ImportedTask>,
    /// Only say what would go wrong.
    #[serde(default)]
    pub dry_run: bool,
}

/// A task with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedTask {
    pub spec: TaskSpec,
    /// `succeeded`, `failed` and `paused` stay so; any other is queued.
    pub state: TaskState,
    pub created_at: Timestamp,
    pub state_since: Timestamp,
    #[serde(default)]
    pub retries_left: u32,
    /// Oldest first. All have ended.
    #[serde(default)]
    pub executions: Vec<ImportedExecution>,
}

/// An execution that has ended, with its output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedExecution {
    /// The name of the worker, empty where that is not known.
    #[serde(default)]
    pub worker_name: String,
    pub assigned_at: Timestamp,
    pub finished_at: Timestamp,
    /// Absent: it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// Paths of the files that it sent, separated by blanks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_files: Option<String>,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ImportedIds {
    /// In the order of the request; empty for a dry run.
    pub ids: Vec<TaskId>,
    /// Tasks that cannot be run here. They are imported as failed, with the reason.
    pub problems: Vec<ImportProblem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportProblem {
    /// The task's place in the request, from 0.
    pub position: usize,
    pub problem: String,
}

/// `POST /api/v2/import/worker`: a worker of the original, which is known when it
/// speaks. One of that name on that host is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedWorker {
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    #[serde(default)]
    pub hostname: String,
    pub batch: crate::domain::BatchName,
    #[schema(maximum = 100_000)]
    pub concurrency: u32,
    #[serde(default)]
    #[schema(maximum = 100_000)]
    pub prefetch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
}
