//! Tasks on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::execution::{FailureClass, Phase, TransferProgress};
use crate::domain::signal::Signal;
use crate::domain::task::{Hold, TaskSpec, TaskState, Until};
use crate::domain::{BatchName, ExecutionId, TaskId, Timestamp, WorkerId};

use super::execution::ExecutionView;

/// `POST /api/v2/tasks`: all are queued, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tasks": [
    {"command": ["echo", "Hello, world"], "name": "greeting", "batch": "demo"},
    {"command": "sort reads.txt | uniq -c", "shell": "sh", "retry": 2, "tags": {"sample": "a1"}}
]}))]
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
    /// Who holds it back, when it is paused.
    #[serde(default, skip_serializing_if = "is_free")]
    pub hold: Hold,
    pub priority: i32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How often it was edited.
    pub revision: u32,
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
    /// The way of the latest attempt, from the queue to its end.
    pub phases: Vec<PhaseSpan>,
    /// Why it does not run, when it does not and has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How its download or upload gets on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferProgress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelatedTask {
    pub id: TaskId,
    pub state: TaskState,
    /// What the one asks of the other.
    pub until: Until,
    /// Since when it is in that state.
    pub state_since: Timestamp,
}

/// A part of a task's way. One follows the other without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseSpan {
    pub phase: TaskPhase,
    pub from: Timestamp,
    /// Absent: it is in it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a task goes through, in this order.
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
    strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TaskPhase {
    /// Tasks that it requires were not done.
    Waiting,
    /// It could run, and no worker had it.
    Queued,
    /// A worker was chosen that had not taken it yet.
    Assigned,
    /// Its data were fetched. Where the moment at which they were complete is
    /// not known, this lasts until the command was started.
    Downloading,
    /// Everything was there; it waited for a slot.
    Ready,
    /// The command ran.
    Running,
    /// Its outputs were sent.
    Uploading,
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
    /// Only tasks of this name, in which `*` stands for any characters, `?` for
    /// one, and `[a-z]` or `[^a-z]` for one of a set. In brackets each of them
    /// means itself: `[*]`, `[?]`, `[[]`. A `[` that is not closed fits nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only tasks whose command, as the list shows it, has this in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Only tasks with this tag, as `NAME=VALUE`, or as `NAME` with any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only tasks whose latest execution is on this worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Only tasks that have been in their state since before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_before: Option<Timestamp>,
    /// Only tasks that fit this filter: words with spaces between, of which all
    /// must hold. `text` is in name, command, batch or worker without regard to
    /// case, `/regex/` in name or command; `state:`, `batch:`, `worker:`,
    /// `name:` and `tag:` are as the parameters; `!` in front turns a word
    /// around, quotes keep spaces. No index knows it: where nothing else narrows
    /// the list down, all tasks are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    #[serde(default)]
    pub sort: TaskSort,
    /// Last ones first: with the usual sort, newest first.
    #[serde(default)]
    pub reverse: bool,
    /// Where the page before ended: its `next`, with the same `sort` and `reverse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most this many, 10,000 at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 10_000)]
    pub limit: Option<u32>,
}

/// Query of `GET /api/v2/tasks/count`: as that of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountTasks {
    /// Only tasks in these states, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// Only tasks of this name, with the wildcards of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only tasks whose command, as the list shows it, has this in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Only tasks with this tag, as `NAME=VALUE`, or as `NAME` with any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only tasks whose latest execution is on this worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Only tasks that have been in their state since before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_before: Option<Timestamp>,
    /// Only tasks that fit this filter, in the words of the list's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// How many tasks there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    /// Tasks per state; all states that were asked for are named.
    pub states: BTreeMap<TaskState, u64>,
    pub total: u64,
}

impl From<&ListTasks> for CountTasks {
    /// The count of all that a list has on its pages.
    fn from(list: &ListTasks) -> Self {
        Self {
            state: list.state.clone(),
            batch: list.batch.clone(),
            name: list.name.clone(),
            command: list.command.clone(),
            tag: list.tag.clone(),
            worker: list.worker,
            since_before: list.since_before,
            filter: list.filter.clone(),
        }
    }
}

/// The order of a task list; among equals that of the ids. Tasks that have no
/// such value come last, whatever the direction.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TaskSort {
    #[default]
    Id,
    Name,
    Batch,
    State,
    /// Name of the worker of the latest execution.
    Worker,
    Priority,
    /// Since when it is in its state.
    Since,
    /// When the latest execution's command was started.
    Started,
    /// How long the command of the latest execution has run.
    Runtime,
}

/// One page of the task list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    pub tasks: Vec<TaskView>,
    /// Give it as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The tasks that a change is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ids": [12, 13], "unfit": "skip"}))]
pub struct TaskIds {
    pub ids: Vec<TaskId>,
    #[serde(default)]
    pub unfit: Unfit,
}

/// What becomes of a change of several tasks when it does not apply to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unfit {
    /// Nothing is changed, and the error names that task.
    #[default]
    Refuse,
    /// The others are changed: for tasks that were found by a description, and
    /// may have moved on since.
    Skip,
}

/// `POST /api/v2/tasks/signal`. `TERM` and `KILL` are the same as stop and
/// kill, `STOP` and `TSTP` as pause, `CONT` as resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalTasks {
    pub ids: Vec<TaskId>,
    pub signal: Signal,
    #[serde(default)]
    pub unfit: Unfit,
}

/// `POST /api/v2/tasks/move`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveTasks {
    pub ids: Vec<TaskId>,
    pub batch: BatchName,
}

/// `POST /api/v2/tasks/edit`: all are edited, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditTasks {
    pub edits: Vec<EditTask>,
    /// What becomes of tasks whose command runs.
    #[serde(default)]
    pub running: EditRunning,
    /// What becomes of tasks that have ended.
    #[serde(default)]
    pub ended: EditEnded,
}

/// The new specification of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditTask {
    pub id: TaskId,
    pub spec: TaskSpec,
    /// The revision that was read before: refused when it was edited since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
}

/// What an edit does with a task whose command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EditRunning {
    /// Nothing is edited, and the error names that task.
    #[default]
    Refuse,
    /// The command is ended, and the task run again.
    Restart,
}

/// What an edit does with a task that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EditEnded {
    /// It is run again.
    #[default]
    Run,
    /// The edit is kept for a later run.
    Keep,
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
    #[serde(default)]
    pub unfit: Unfit,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_free(hold: &Hold) -> bool {
    *hold == Hold::No
}
