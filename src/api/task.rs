//! Tasks on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::execution::{FailureClass, Phase};
use crate::domain::task::{TaskSpec, TaskState};
use crate::domain::{BatchName, ExecutionId, TaskId, Timestamp, WorkerId};

use super::execution::ExecutionView;

/// `POST /api/v2/tasks`: all are queued, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTasks {
    pub tasks: Vec<TaskSpec>,
}

/// The ids of new tasks, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedTasks {
    pub ids: Vec<TaskId>,
}

/// One line of the task list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    pub id: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub batch: BatchName,
    pub state: TaskState,
    /// What the agent does for it at the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The command as one would type it in a shell.
    pub command: String,
    /// The latest execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// How many executions there have been.
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_name: Option<String>,
    pub created_at: Timestamp,
    /// Since when it is in this state.
    pub state_since: Timestamp,
    /// When the latest execution's command was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the latest execution ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// The name of the token that queued it.
    pub created_by: String,
}

/// One task whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    #[serde(flatten)]
    pub task: TaskView,
    pub spec: TaskSpec,
    pub retries_left: u32,
    /// Tasks that this one requires, with their states.
    pub requirements: Vec<RelatedTask>,
    /// Tasks that require this one, with their states; at most 1,000.
    pub dependents: Vec<RelatedTask>,
    /// All executions, latest first.
    pub executions: Vec<ExecutionView>,
    /// Why it does not run, when it does not and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelatedTask {
    pub id: TaskId,
    pub state: TaskState,
}

/// Query of `GET /api/v2/tasks`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTasks {
    /// Only tasks in these states, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only tasks whose latest execution is on this worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Only tasks after this one, in the order asked for: the last id of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<TaskId>,
    /// Newest first instead of oldest first.
    #[serde(default)]
    pub newest_first: bool,
    /// At most this many, 10,000 at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10_000)]
    pub limit: Option<u32>,
}

/// One page of the task list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    pub tasks: Vec<TaskView>,
    /// Give it as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TaskId>,
}

/// The tasks that a change is for. All are changed, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskIds {
    pub ids: Vec<TaskId>,
}

/// What `POST /api/v2/tasks/delete` does with tasks that require a deleted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dependents {
    /// Nothing is deleted while a task waits for it.
    #[default]
    Refuse,
    /// They are deleted as well.
    Cascade,
    /// They no longer require it: a succeeded one counts as met, one that runs
    /// counts when it succeeds, any other leaves them blocked for good.
    Detach,
}

/// `POST /api/v2/tasks/delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteTasks {
    pub ids: Vec<TaskId>,
    #[serde(default)]
    pub dependents: Dependents,
}

/// The tasks that a change reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedTasks {
    pub ids: Vec<TaskId>,
}

/// `POST /api/v2/tasks/wait`: replies when all of them have ended, or after
/// `timeout_seconds` with what there is by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitForTasks {
    pub ids: Vec<TaskId>,
    /// 60 at the most.
    #[schema(maximum = 60)]
    pub timeout_seconds: u32,
}

/// How many of the awaited tasks are in which state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AwaitedTasks {
    /// Whether all have ended.
    pub done: bool,
    pub states: BTreeMap<TaskState, u64>,
    /// The task itself when only one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskView>,
}
