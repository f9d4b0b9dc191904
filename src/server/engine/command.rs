//! What can be asked of the engine, how it answers, and what it wants done.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::event::Event;
use crate::api::link::{Held, Report, Verdict};
use crate::api::task::Dependents;
use crate::api::token::Role;
use crate::api::worker::UpdateWorker;
use crate::domain::demand::Demand;
use crate::domain::execution::{OutputSizes, Phase};
use crate::domain::task::TaskState;
use crate::domain::worker::{Machine, WantedState, WorkerSettings, WorkerStats};
use crate::domain::{BatchName, Epoch, ExecutionId, StoreId, TaskId, TokenId, WorkerId};

use super::state::{LinkId, Requirement};

/// Everything that can happen.
#[derive(Debug, Clone)]
pub enum Command {
    CreateTasks(Vec<NewTask>),
    RelaunchTasks(Vec<TaskId>),
    CancelTasks(Vec<TaskId>),
    DeleteTasks {
        tasks: Vec<TaskId>,
        dependents: Dependents,
    },
    UpdateWorker {
        worker: WorkerId,
        update: UpdateWorker,
    },
    DeleteWorker(WorkerId),
    CreateToken {
        name: String,
        role: Role,
        hash: [u8; 32],
    },
    RevokeToken(TokenId),
    Connect(Box<Connect>),
    Disconnect {
        worker: WorkerId,
        link: LinkId,
    },
    Heartbeat {
        worker: WorkerId,
        link: LinkId,
        stats: WorkerStats,
        phases: Vec<(ExecutionId, Phase)>,
        draining: bool,
    },
    Report {
        worker: WorkerId,
        link: LinkId,
        reports: Vec<Received>,
    },
    /// Time has passed.
    Tick,
}

/// A task to be queued, checked already.
#[derive(Debug, Clone)]
pub struct NewTask {
    pub name: Option<String>,
    pub batch: BatchName,
    pub retry: u32,
    pub priority: i32,
    pub demand: Demand,
    pub tags: BTreeMap<String, String>,
    pub after: Vec<Requirement>,
    pub after_batch: Vec<BatchName>,
    /// The whole spec as JSON.
    pub spec: Arc<str>,
}

/// An agent's hello.
#[derive(Debug, Clone)]
pub struct Connect {
    pub link: LinkId,
    /// The worker for which its token speaks; none with a join token.
    pub bound_to: Option<WorkerId>,
    /// The hash of a token to bind to the worker, for an agent that joins.
    pub new_token: Option<[u8; 32]>,
    pub name: Arc<str>,
    pub machine: Machine,
    pub version: String,
    pub instance: String,
    pub settings: WorkerSettings,
    pub store: Option<(StoreId, Epoch)>,
    pub held: Vec<Held>,
    /// It takes nothing new and leaves when it has nothing left.
    pub draining: bool,
}

/// A report with the output that the server has of that execution on disk.
#[derive(Debug, Clone)]
pub struct Received {
    pub report: Report,
    pub output: OutputSizes,
}

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// New tasks with consecutive ids.
    Created {
        first: TaskId,
        count: u64,
    },
    Tasks(Vec<TaskId>),
    Worker(WorkerId),
    Token(TokenId),
    #[serde(skip)]
    Connected(Box<Connected>),
    #[serde(skip)]
    Reported(Vec<(ExecutionId, Verdict)>),
    Done,
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    pub worker: WorkerId,
    pub known: bool,
    pub settings: WorkerSettings,
    pub wanted: WantedState,
    pub verdicts: Vec<(ExecutionId, Verdict)>,
    /// The token that was made for it, if one was.
    pub token: Option<TokenId>,
    /// A token that no longer holds.
    pub revoked: Vec<TokenId>,
}

/// Why a command was not carried out. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("task {0} does not exist")]
    NoTask(TaskId),
    #[error("worker {0} does not exist")]
    NoWorker(WorkerId),
    #[error("token {0} does not exist")]
    NoToken(TokenId),
    #[error("task {0} has already ended ({1})")]
    TaskEnded(TaskId, TaskState),
    #[error("task {task} is required by {count} waiting tasks, {example} among them")]
    HasDependents { task: TaskId, count: usize, example: TaskId },
    #[error("the token speaks for worker {bound}, not for `{name}`")]
    OtherWorker { bound: WorkerId, name: Arc<str> },
    #[error("another live agent speaks for worker `{0}`")]
    AlreadyConnected(Arc<str>),
    #[error("this link has been replaced by a newer one")]
    StaleLink,
    #[error("this idempotency key came with another request before")]
    KeyReused,
    #[error("changes cannot be stored at the moment: {0}")]
    Unavailable(Arc<str>),
}

/// What is to be done once the changes are on disk.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Start {
        worker: WorkerId,
        execution: ExecutionId,
        task: TaskId,
        attempt: u32,
        revision: u32,
    },
    Order {
        worker: WorkerId,
        execution: ExecutionId,
        verdict: Verdict,
    },
    Settings {
        worker: WorkerId,
        settings: WorkerSettings,
        wanted: WantedState,
        lost_after_seconds: Option<u64>,
    },
    /// The worker is gone: its link is closed, it may register anew.
    CloseLink {
        worker: WorkerId,
    },
    /// These tokens no longer hold.
    TokensRevoked(Vec<TokenId>),
    Publish(Event),
    /// These will not change again: whoever waits for them is told.
    Ended(TaskId),
    /// No more output comes for it.
    OutputComplete(ExecutionId),
}

/// What a task waits for, told for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveTask {
    pub phase: Option<Phase>,
    pub why: Option<String>,
}

/// Live figures of several tasks.
pub type LiveTasks = BTreeMap<TaskId, LiveTask>;
