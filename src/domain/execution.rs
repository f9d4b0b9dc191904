//! An execution: one attempt at a task on one worker.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::ids::{ExecutionId, TaskId};

/// The states of an execution, under the names that the original gave them.
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
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ExecutionState {
    /// Sent to the agent, which has not answered.
    Pending,
    Accepted,
    Running,
    Succeeded,
    Failed,
    /// Taken back or refused before the agent had begun.
    Refused,
}

/// What the agent does for an execution at the moment. Live only: never stored.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Phase {
    /// Inputs and resources are being fetched.
    Downloading,
    /// Everything is there; waits for a slot.
    Ready,
    Running,
    /// The command has ended; outputs are being sent.
    Uploading,
}

/// How a download or an upload gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferProgress {
    /// Bytes that have moved.
    pub bytes: u64,
    /// Bytes of all that is known to be wanted, what was there already included.
    pub total: u64,
    /// Since the transfer began.
    pub bytes_per_second: u64,
}

/// How far an execution shall be held back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Suspension {
    /// It goes on.
    #[default]
    No,
    /// Its command is not started; one that runs goes on.
    Start,
    /// Its command is not started, and suspended if it runs. It keeps its slot,
    /// and the limit on its run stands still.
    Run,
}

/// Why an execution did not succeed.
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
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum FailureClass {
    /// The command ended with another exit code than 0.
    Exit,
    /// A signal that nobody asked scitq for ended the command.
    Signal,
    /// The command used more memory than it may.
    Oom,
    /// A time limit was passed.
    Timeout,
    /// Inputs or resources could not be fetched.
    Download,
    /// Outputs could not be sent. They stay on the worker.
    Upload,
    /// The worker was lost.
    Lost,
    /// The worker was taken away by its provider.
    Evicted,
    /// The agent could not take it.
    Refused,
    /// The command could not be started, or scitq itself failed.
    Internal,
    /// A person ended it.
    Cancelled,
}

impl ExecutionState {
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Refused)
    }
}

impl FailureClass {
    /// Whether such a failure uses up one of the task's retries and is then
    /// tried again. The others either cost nothing (the worker's fault) or end
    /// the task at once.
    #[must_use]
    pub const fn uses_retry(self) -> bool {
        matches!(self, Self::Exit | Self::Signal | Self::Oom | Self::Timeout | Self::Download)
    }

    /// Whether the task goes back to pending without using a retry.
    #[must_use]
    pub const fn is_no_fault_of_the_task(self) -> bool {
        matches!(self, Self::Lost | Self::Evicted | Self::Refused | Self::Internal)
    }
}

/// Which of the two output streams.
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
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What the command used, its descendants that it waited for included.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ResourceUsage {
    /// CPU time in user mode, seconds.
    pub user_seconds: f64,
    /// CPU time in the kernel, seconds.
    pub system_seconds: f64,
    /// Largest resident set of one process of the task, bytes.
    pub peak_memory_bytes: u64,
}

/// Sizes of the two streams, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct OutputSizes {
    pub stdout: u64,
    pub stderr: u64,
}

impl OutputSizes {
    #[must_use]
    pub const fn of(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    pub const fn set(&mut self, stream: Stream, size: u64) {
        match stream {
            Stream::Stdout => self.stdout = size,
            Stream::Stderr => self.stderr = size,
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// None: it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Exit code of the command, when it ran and was not ended by a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ResourceUsage>,
    /// The execution whose outputs were taken over: the command did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
}

/// An execution whose outputs another one took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reused {
    pub execution: ExecutionId,
    pub task: TaskId,
}

/// A failure's class and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    pub class: FailureClass,
    pub reason: String,
}

/// What a worker of the original tells of an execution, and asks for again
/// after its own restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keepsake {
    /// The command's process id, or the id of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// Paths of the files that it sent, separated by blanks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_files: Option<String>,
}

impl Outcome {
    /// A good end of which nothing more is known.
    #[must_use]
    pub const fn good() -> Self {
        Self { failure: None, exit_code: None, signal: None, usage: None, reused: None }
    }

    /// An end without a run of the command.
    #[must_use]
    pub fn without_run(class: FailureClass, reason: impl Into<String>) -> Self {
        Self {
            failure: Some(Failure { class, reason: reason.into() }),
            exit_code: None,
            signal: None,
            usage: None,
            reused: None,
        }
    }

    /// A good end without a run of the command: the outputs of another
    /// execution are what it would have made.
    #[must_use]
    pub fn reusing(reused: Reused) -> Self {
        Self { reused: Some(reused), ..Self::good() }
    }
}
