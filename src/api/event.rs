//! Events of `GET /api/v2/events` (server-sent events).
//!
//! An event says that an object changed and what it looks like in short; the
//! event's id is `<server start>-<number>`. Give the last one seen as
//! `Last-Event-ID`: where the server no longer has what came after it, the
//! first event is [`Event::Reset`], and the follower reads again.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::batch::BatchPause;
use crate::domain::job::JobState;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;
use crate::domain::{BatchName, ExecutionId, JobId, TaskId, WorkerId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Event {
    /// A task was made or changed.
    Task {
        id: TaskId,
        batch: BatchName,
        state: TaskState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        execution: Option<ExecutionId>,
        /// The batch that it was in before, when it has just been moved: those
        /// who follow only that one hear of it once more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<BatchName>,
    },
    /// A task is gone.
    TaskDeleted { id: TaskId, batch: BatchName },
    /// A worker was made or changed.
    Worker { id: WorkerId, batch: BatchName, state: WorkerState },
    /// A worker is gone.
    WorkerDeleted { id: WorkerId, batch: BatchName },
    /// A batch was made, paused, let go or set otherwise.
    Batch { name: BatchName, pause: BatchPause },
    /// A batch is gone with all its tasks, of which no event is sent.
    BatchDeleted { name: BatchName },
    /// A job was made or changed.
    Job { id: JobId, batch: BatchName, state: JobState },
    /// A job is forgotten.
    JobDeleted { id: JobId, batch: BatchName },
    /// Events were missed: read again.
    Reset,
}

/// Query of `GET /api/v2/events`. Without any, everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FollowEvents {
    /// Only events of this batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchName>,
    /// Only events of this task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Only `task`, only `worker`, only `batch` or only `job` events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EventKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Task,
    Worker,
    Batch,
    Job,
}
