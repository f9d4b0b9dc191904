//! What the command line's tests share.

use crate::api::task::TaskView;
use crate::domain::task::TaskState;
use crate::domain::{TaskId, Timestamp};

/// A task that has just been queued.
pub fn task(id: u64) -> TaskView {
    TaskView {
        id: TaskId(id),
        name: None,
        batch: "Default".parse().unwrap(),
        state: TaskState::Pending,
        phase: None,
        command: "true".into(),
        execution: None,
        attempts: 0,
        worker: None,
        worker_name: None,
        created_at: Timestamp(0),
        state_since: Timestamp(0),
        started_at: None,
        finished_at: None,
        exit_code: None,
        signal: None,
        failure: None,
        failure_reason: None,
        created_by: "test".into(),
    }
}
