//! What `update` wants done, and what comes back: plain data, so that a test
//! can look at it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::api::ClientError;
use crate::api::batch::{BatchList, DeleteBatch, WithTasks};
use crate::api::event::{Event, FollowEvents};
use crate::api::hiring::{DeployWorkers, FlavorList, JobList, JobLog, RecruiterList};
use crate::api::server::ServerStatus;
use crate::api::task::{Dependents, EditEnded, EditRunning, TaskDetail, TaskView};
use crate::api::worker::{Clean, UpdateWorker, WorkerList};
use crate::domain::execution::Stream;
use crate::domain::signal::Signal;
use crate::domain::task::{TaskSpec, TaskState};
use crate::domain::{BatchName, ExecutionId, JobId, TaskId, Timestamp, WorkerId};

use super::keymap::Key;
use super::query::TaskQuery;
use super::state::{OutputFiles, Tails};

pub use crate::api::glance::WorkerSamples as Samples;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Action {
    Key(Key, crossterm::event::KeyEvent),
    Mouse(crossterm::event::MouseEvent),
    Paste(String),
    Resize(u16, u16),
    /// Time has passed.
    Tick,
    Stream(StreamNews),
    Reply(Box<Reply>),
}

/// How the stream of events is.
#[derive(Debug, Clone)]
pub enum StreamNews {
    Up,
    Events(Vec<Event>),
    Down(ClientError),
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Fetch(Fetch),
    Change(Change),
    /// Opens the text of a task's specification in the user's editor.
    EditOutside {
        task: TaskId,
        revision: u32,
        text: String,
    },
    /// Opens the output in the user's pager.
    Page {
        execution: ExecutionId,
        stream: Stream,
    },
    Shell {
        host: String,
    },
    Download {
        tasks: Vec<TaskId>,
        directory: PathBuf,
    },
    SearchOutput {
        search: Search,
    },
    /// Nobody looks at growing output any more.
    CancelFollow,
    /// The server's events are to be these from now on.
    Follow(FollowEvents),
    Suspend,
    Redraw,
    Quit,
}

/// A question to the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Fetch {
    Status,
    Workers,
    Batches,
    TaskPage {
        generation: u64,
        number: usize,
        cursor: Option<String>,
        query: Box<TaskPageQuery>,
    },
    Counts {
        generation: u64,
        query: Box<TaskPageQuery>,
    },
    /// Last lines; whether nothing will follow them.
    Tails {
        executions: Vec<(ExecutionId, bool)>,
    },
    Detail {
        task: TaskId,
    },
    /// The whole specification, to be edited.
    Spec {
        task: TaskId,
        is_outside: bool,
    },
    Samples {
        worker: WorkerId,
    },
    Failures,
    /// How many tasks had their latest execution on each of these workers.
    Latest {
        workers: Vec<WorkerId>,
    },
    Jobs,
    Recruiters,
    Flavors,
    /// A job's log from that byte on.
    JobLog {
        job: JobId,
        offset: u64,
    },
    /// The files at the address where a task put its outputs.
    Files {
        task: TaskId,
        place: String,
    },
    Output(OutputRequest),
}

/// A page of tasks as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPageQuery(pub TaskQuery);

/// A piece of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputRequest {
    pub execution: ExecutionId,
    pub stream: Stream,
    pub from: OutputFrom,
    /// Bytes at the most.
    pub limit: u64,
    /// Whether it is asked as well when they came.
    pub with_times: bool,
    /// Of the window that asks.
    pub epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFrom {
    /// The last `limit` bytes.
    End,
    Offset(u64),
    /// As `Offset`, and waits until there is a byte.
    Follow(u64),
}

/// A piece of a stream that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputReply {
    pub offset: u64,
    pub bytes: Vec<u8>,
    pub size: u64,
    pub is_complete: bool,
    /// From which offset on bytes came when, if that was asked for.
    pub times: Vec<(u64, Timestamp)>,
}

/// Looks through a whole stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    pub execution: ExecutionId,
    pub stream: Stream,
    pub needle: String,
    pub from: u64,
    pub is_backwards: bool,
}

/// The tasks that a change is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Ids(Vec<TaskId>),
    /// All that a query finds when it comes to it; so many were counted.
    Found(Box<TaskPageQuery>, Option<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum TaskVerb {
    Relaunch,
    Pause,
    Resume,
    Cancel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchVerb {
    Pause(WithTasks),
    Go(WithTasks),
    Stop,
    Kill,
    Retry,
    Delete(DeleteBatch),
}

/// A change that the server is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Tasks(TaskVerb, Target),
    Signal(Signal, Target),
    MoveTasks(BatchName, Target),
    DeleteTasks(Dependents, Target),
    EditTask {
        task: TaskId,
        revision: u32,
        spec: Box<TaskSpec>,
        running: EditRunning,
        ended: EditEnded,
    },
    UpdateWorkers(Vec<WorkerId>, UpdateWorker),
    DeleteWorkers(Vec<WorkerId>),
    CleanWorkers(Vec<WorkerId>, Clean),
    RestartWorkers(Vec<WorkerId>),
    Batches(Vec<BatchName>, BatchVerb),
    Deploy(DeployWorkers),
    CancelJobs(Vec<JobId>),
    RetryJobs(Vec<JobId>),
    DeleteJobs(Vec<JobId>),
}

/// What came back.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(Result<ServerStatus, ClientError>),
    Workers(Result<WorkerList, ClientError>),
    Batches(Result<BatchList, ClientError>),
    TaskPage {
        generation: u64,
        number: usize,
        cursor: Option<String>,
        result: Result<(Vec<TaskView>, Option<String>), ClientError>,
    },
    Counts {
        generation: u64,
        result: Result<BTreeMap<TaskState, u64>, ClientError>,
    },
    Tails(Result<BTreeMap<ExecutionId, Tails>, ClientError>),
    Detail {
        task: TaskId,
        result: Result<TaskDetail, ClientError>,
    },
    Spec {
        task: TaskId,
        is_outside: bool,
        result: Result<TaskDetail, ClientError>,
    },
    Samples {
        worker: WorkerId,
        result: Result<Samples, ClientError>,
    },
    Failures(Result<Vec<(TaskView, String)>, ClientError>),
    Latest(Result<BTreeMap<WorkerId, (u64, u64)>, ClientError>),
    Jobs(Result<JobList, ClientError>),
    Recruiters(Result<RecruiterList, ClientError>),
    Flavors(Result<FlavorList, ClientError>),
    JobLog {
        job: JobId,
        offset: u64,
        result: Result<JobLog, ClientError>,
    },
    Files {
        task: TaskId,
        result: Result<OutputFiles, String>,
    },
    Output {
        request: OutputRequest,
        result: Result<OutputReply, ClientError>,
    },
    Found {
        search: Search,
        result: Result<Option<u64>, ClientError>,
    },
    /// A change was made: in words for people.
    Changed(Result<String, String>),
    /// The text that came back from the editor.
    Edited {
        task: TaskId,
        revision: u32,
        text: Result<String, String>,
    },
}
