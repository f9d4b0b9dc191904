//! What can be asked of the engine, how it answers, and what it wants done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::api::batch::{DeleteBatch, UpdateBatch, WithTasks};
use crate::api::event::Event;
use crate::api::link::{Held, Report, Verdict};
use crate::api::task::{Dependents, EditEnded, EditRunning, Unfit};
use crate::api::token::Role;
use crate::api::worker::{Clean, HandledOrphans, Orphan, UpdateWorker};
use crate::domain::demand::Demand;
use crate::domain::execution::{
    Failure, Keepsake, OutputSizes, Phase, Suspension, TransferProgress,
};
use crate::domain::job::JobState;
use crate::domain::signal::Signal;
use crate::domain::task::{Hold, TaskState};
use crate::domain::worker::{Machine, WantedState, WorkerSettings, WorkerStats};
use crate::domain::{
    BatchName, Epoch, ExecutionId, JobId, StoreId, TaskId, Timestamp, TokenId, WorkerId,
};

use super::change::ExecutionRow;
use super::hiring::HiringCommand;
use super::state::{LinkId, Requirement};

/// Everything that can happen.
#[derive(Debug, Clone)]
pub enum Command {
    CreateTasks(Vec<NewTask>),
    RelaunchTasks {
        tasks: Vec<TaskId>,
        unfit: Unfit,
    },
    /// Has the outputs of failed uploads sent once more.
    RetryUploads {
        tasks: Vec<TaskId>,
        unfit: Unfit,
        /// Their latest executions, as the database has them.
        executions: Vec<(ExecutionId, ExecutionRow)>,
    },
    CancelTasks {
        tasks: Vec<TaskId>,
        unfit: Unfit,
    },
    PauseTasks {
        tasks: Vec<TaskId>,
        unfit: Unfit,
    },
    ResumeTasks {
        tasks: Vec<TaskId>,
        unfit: Unfit,
    },
    SignalTasks {
        tasks: Vec<TaskId>,
        signal: Signal,
        unfit: Unfit,
    },
    MoveTasks {
        tasks: Vec<TaskId>,
        batch: BatchName,
    },
    EditTasks {
        edits: Vec<TaskEdit>,
        running: EditRunning,
        ended: EditEnded,
    },
    DeleteTasks {
        tasks: Vec<TaskId>,
        dependents: Dependents,
        unfit: Unfit,
    },
    UpdateBatch {
        batch: BatchName,
        update: UpdateBatch,
    },
    PauseBatch {
        batch: BatchName,
        with: WithTasks,
    },
    GoBatch {
        batch: BatchName,
        with: WithTasks,
    },
    /// Pauses it and ends what runs in it.
    EndBatch {
        batch: BatchName,
        signal: Signal,
    },
    DeleteBatch {
        batch: BatchName,
        how: DeleteBatch,
    },
    UpdateWorker {
        worker: WorkerId,
        update: UpdateWorker,
    },
    DeleteWorker(WorkerId),
    CleanWorker {
        worker: WorkerId,
        what: Clean,
    },
    RestartWorker(WorkerId),
    /// Makes executions of another life of this database its own. None named:
    /// all of them.
    AdoptOrphans {
        worker: WorkerId,
        executions: Vec<ExecutionId>,
    },
    AbandonOrphans {
        worker: WorkerId,
        executions: Vec<ExecutionId>,
    },
    CreateToken {
        name: String,
        role: Role,
        hash: [u8; 32],
        /// None: never.
        expires_at: Option<Timestamp>,
    },
    /// When tokens were last used.
    UseTokens(Vec<(TokenId, Timestamp)>),
    RevokeToken(TokenId),
    /// Records what somebody did that changes nothing here.
    Note {
        action: &'static str,
        detail: String,
    },
    Connect(Box<Connect>),
    Disconnect {
        worker: WorkerId,
        link: LinkId,
    },
    Heartbeat {
        worker: WorkerId,
        link: LinkId,
        pulse: Pulse,
    },
    Report {
        worker: WorkerId,
        link: LinkId,
        reports: Vec<Received>,
    },
    /// Its provider takes the worker away: what it holds goes to others at once.
    EvictWorker {
        worker: WorkerId,
        /// The link over which its agent says so; none: the provider does.
        link: Option<LinkId>,
        reason: String,
    },
    /// These run for longer than they may, and their workers are silent; with
    /// the limits, in seconds.
    TimeOut(Vec<(ExecutionId, u32)>),
    /// A worker of the original is made, or found by its name and machine.
    RegisterWorker(Box<NewWorker>),
    /// A worker of the original speaks: it holds all that this server has for it.
    Attach {
        worker: WorkerId,
        link: LinkId,
    },
    /// Its machine is another than it was said to be.
    DescribeWorker {
        worker: WorkerId,
        machine: Machine,
    },
    /// A worker of the original is about to start the command: from now on it goes
    /// by the specification as it is.
    Freeze {
        worker: WorkerId,
        link: LinkId,
        execution: ExecutionId,
    },
    /// Notes what a worker of the original tells; what is none stays as it is.
    Keep {
        execution: ExecutionId,
        keepsake: Keepsake,
    },
    /// Gives out ids of executions, as many as that.
    ReserveExecutions(u64),
    /// Takes in tasks of another system.
    ImportTasks(Vec<ImportTask>),
    /// Gives a pending task to a worker that a person chose.
    AssignTask {
        task: TaskId,
        worker: WorkerId,
    },
    /// About machines that are hired.
    Hiring(HiringCommand),
    /// Time has passed.
    Tick,
}

/// A task of another system, with what became of it there.
#[derive(Debug, Clone)]
pub struct ImportTask {
    pub new: NewTask,
    /// None: it is queued.
    pub ended: Option<ImportedEnd>,
    pub created_at: Timestamp,
    /// Since when it is in its state.
    pub since: Timestamp,
    pub retries_left: u32,
    /// Under ids that were given out for them; all have ended.
    pub executions: Vec<(ExecutionId, ExecutionRow)>,
}

/// How a task of another system ended.
#[derive(Debug, Clone)]
pub struct ImportedEnd {
    pub state: TaskState,
    pub failure: Option<Failure>,
}

/// A worker that is known before it speaks.
#[derive(Debug, Clone)]
pub struct NewWorker {
    pub name: Arc<str>,
    pub machine: Machine,
    pub settings: WorkerSettings,
    pub wanted: WantedState,
    pub version: String,
}

/// What a heartbeat tells.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    pub stats: WorkerStats,
    pub phases: Vec<(ExecutionId, Phase)>,
    /// How far the images are that the worker fetches, in words.
    pub pulls: Vec<(ExecutionId, String)>,
    pub draining: bool,
    /// The silence after which the agent takes its tasks for lost; none: never.
    pub lease: Option<Duration>,
    pub orphans: Vec<Orphan>,
    pub transfers: Vec<(ExecutionId, TransferProgress)>,
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
    /// Whether it is held back from the start.
    pub hold: Hold,
    /// The whole spec as JSON.
    pub spec: Arc<str>,
}

/// The new specification of a task, checked already.
#[derive(Debug, Clone)]
pub struct TaskEdit {
    pub id: TaskId,
    /// The revision that was read before.
    pub revision: Option<u32>,
    pub new: NewTask,
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
    pub orphans: Vec<Orphan>,
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
    /// Ids of executions that were given out, from this one on.
    Executions {
        first: ExecutionId,
    },
    Tasks(Vec<TaskId>),
    /// So many tasks were changed.
    Count(u64),
    Batch(BatchName),
    Orphans(HandledOrphans),
    Worker(WorkerId),
    Token(TokenId),
    /// Workers that were hired, with the jobs that fetch their machines.
    Hired {
        workers: Vec<WorkerId>,
        jobs: Vec<JobId>,
    },
    Jobs(Vec<JobId>),
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
    /// Silent for longer, it has lost what it holds; none: never.
    pub lost_after: Option<Duration>,
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
    #[error("batch `{0}` does not exist")]
    NoBatch(BatchName),
    #[error("task {0} is {1}, and no command of it runs")]
    NotRunning(TaskId, TaskState),
    #[error("task {0} did not fail for want of an upload: there is nothing to send once more")]
    NoFailedUpload(TaskId),
    #[error("the worker that has run task {0} is deleted, or keeps no files")]
    FilesAreGone(TaskId),
    #[error("task {0} is {1}, not paused")]
    NotPaused(TaskId, TaskState),
    #[error("task {0} is paused already")]
    AlreadyPaused(TaskId),
    #[error("the command of task {0} runs")]
    Runs(TaskId),
    #[error("task {task} was edited since: it is at revision {revision}, not {given}")]
    EditedSince { task: TaskId, revision: u32, given: u32 },
    #[error("task {task} would wait for itself, by way of task {by}")]
    Circle { task: TaskId, by: TaskId },
    #[error("{count} requirements in one request, {most} are the most")]
    ManyRequirements { count: usize, most: usize },
    #[error("worker `{0}` is not connected")]
    NotConnected(Arc<str>),
    #[error("worker `{worker}` has no orphaned execution {execution}")]
    NoOrphan { worker: Arc<str>, execution: ExecutionId },
    #[error("task {task} is required by {count} waiting tasks, {example} among them")]
    HasDependents { task: TaskId, count: usize, example: TaskId },
    #[error("the token speaks for worker {bound}, not for `{name}`")]
    OtherWorker { bound: WorkerId, name: Arc<str> },
    #[error("another live agent speaks for worker `{0}`")]
    AlreadyConnected(Arc<str>),
    #[error("{message}")]
    NoMachine { message: Arc<str>, hint: Arc<str> },
    #[error("job {0} does not exist")]
    NoJob(JobId),
    #[error("job {0} has ended ({1})")]
    JobEnded(JobId, JobState),
    #[error("job {0} is {1}, and has not ended")]
    JobLives(JobId, JobState),
    #[error("the machine of job {0} is gone")]
    NoMachineOf(JobId),
    #[error("batch `{batch}` has no recruiter of rank {rank}")]
    NoRecruiter { batch: BatchName, rank: u32 },
    #[error("task {0} is {1}, not pending")]
    NotPending(TaskId, TaskState),
    #[error("worker `{0}` takes no task now")]
    TakesNothing(Arc<str>),
    #[error("the command of execution {0} is not to be started")]
    NotToStart(ExecutionId),
    #[error("this link has been replaced by a newer one")]
    StaleLink,
    #[error("this idempotency key came with another request before")]
    KeyReused,
    #[error("no new task is taken: {0}")]
    NoRoom(Arc<str>),
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
    Suspend {
        worker: WorkerId,
        execution: ExecutionId,
        suspension: Suspension,
    },
    Signal {
        worker: WorkerId,
        execution: ExecutionId,
        signal: Signal,
    },
    /// The task of an accepted execution was edited.
    Edit {
        worker: WorkerId,
        execution: ExecutionId,
        task: TaskId,
        revision: u32,
    },
    /// Send what an ended execution has made.
    Resend {
        worker: WorkerId,
        execution: ExecutionId,
        row: Box<ExecutionRow>,
    },
    Adopt {
        worker: WorkerId,
        executions: Vec<ExecutionId>,
    },
    Abandon {
        worker: WorkerId,
        executions: Vec<ExecutionId>,
    },
    Clean {
        worker: WorkerId,
        what: Clean,
    },
    RestartAgent {
        worker: WorkerId,
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
    /// Jobs were made or changed: somebody may have to carry one out.
    Jobs,
}

/// What a task waits for, told for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveTask {
    pub phase: Option<Phase>,
    pub transfer: Option<TransferProgress>,
    pub why: Option<String>,
}

/// Live figures of several tasks.
pub type LiveTasks = BTreeMap<TaskId, LiveTask>;
