//! How a task's spec becomes something that runs.
//!
//! A runner is a pure function from what is known of an execution ([`Job`])
//! to an order for whoever is the parent of what runs: [`process`] makes a
//! [`SpawnRequest`](super::supervisor::SpawnRequest) for the supervisor, and so does
//! [`docker`], whose process watches a container in which
//! [`environment::Surroundings`] are other ones. A runner for another kind of
//! container does the same: it takes a [`Job`] and gives a process to watch.

pub mod docker;
pub mod environment;
pub mod group;
pub mod process;

use crate::agent::workdir::TaskDirs;
use crate::domain::task::TaskSpec;
use crate::domain::{ExecutionId, TaskId};

pub use environment::{UserEnvironment, WorkerFacts};

/// One execution, ready to run.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    pub execution: ExecutionId,
    pub task: TaskId,
    /// 1 for the task's first execution.
    pub attempt: u32,
    pub spec: &'a TaskSpec,
    pub dirs: &'a TaskDirs,
    pub worker: &'a WorkerFacts,
}
