//! What can happen to an agent.

use crate::api::cache::{CacheKey, CachedFile};
use crate::api::link::Down;
use crate::domain::execution::{OutputSizes, ResourceUsage, Reused};
use crate::domain::{ExecutionId, Timestamp};

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The supervisor is there, and these are all the commands it knows.
    SupervisorUp(Vec<(ExecutionId, CommandState)>),
    /// The connection to the supervisor is gone: nothing can be started.
    SupervisorDown,
    /// A link to the server stands. Links are numbered, later ones higher.
    LinkUp {
        link: u64,
    },
    LinkDown {
        link: u64,
    },
    /// The server said something.
    Frame {
        link: u64,
        frame: Down,
    },
    /// Directory, inputs and resources are there, or cannot be had.
    Prepared {
        execution: ExecutionId,
        result: Result<(), TransferFailure>,
    },
    /// The key of all that an execution was given, told before [`Event::Prepared`].
    Keyed {
        execution: ExecutionId,
        key: CacheKey,
    },
    /// The outputs of another execution are what its command would make, told
    /// before [`Event::Prepared`].
    Reusable {
        execution: ExecutionId,
        reuse: Box<Reuse>,
    },
    /// What its command made, told before [`Event::Uploaded`].
    Made {
        execution: ExecutionId,
        files: Vec<CachedFile>,
    },
    Uploaded {
        execution: ExecutionId,
        result: Result<(), TransferFailure>,
    },
    Started {
        execution: ExecutionId,
        at: Timestamp,
    },
    NotStarted {
        execution: ExecutionId,
        failure: NotStarted,
    },
    Ended {
        execution: ExecutionId,
        end: CommandEnd,
    },
    /// All output up to these sizes was sent on this link.
    OutputSent {
        execution: ExecutionId,
        link: u64,
        sizes: OutputSizes,
    },
    /// It is time for a heartbeat.
    HeartbeatDue,
    /// The moment of [`super::AgentState::next_deadline`] has come.
    Tick,
    /// A person on this machine wants the agent to leave after its last execution.
    Drain,
    /// The provider takes the machine away soon.
    Evict {
        /// How the agent knows, in words for people.
        reason: String,
    },
}

/// What the supervisor knows of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandState {
    Running { started_at: Timestamp },
    Ended(CommandEnd),
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandEnd {
    pub exit: Exit,
    pub usage: Option<ResourceUsage>,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal {
        number: i32,
        /// The kernel ran out of memory meanwhile.
        out_of_memory: bool,
    },
    /// It used more memory than it may.
    OutOfMemory {
        code: Option<i32>,
        signal: Option<i32>,
    },
    /// What was to watch over it could not start it.
    Refused {
        /// What a shell would answer; none when the fault is not the command's.
        exit_code: Option<i32>,
        reason: String,
    },
    /// Nobody knows how it ended.
    Lost {
        reason: String,
    },
}

/// Outputs that an execution can take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    pub reused: Reused,
    pub place: ReusePlace,
}

/// Where outputs are that an execution takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReusePlace {
    /// Where this task wants them.
    Same,
    /// Elsewhere: they are in the task's own output folder, to be sent.
    Other(Vec<CachedFile>),
}

/// Why a command could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotStarted {
    /// What a shell would answer: 127 not found, 126 not executable. None when
    /// the fault is not the command's.
    pub exit_code: Option<i32>,
    pub reason: String,
}

/// Why a download or an upload failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferFailure {
    pub reason: String,
    /// Whether another try may go well.
    pub transient: bool,
    pub culprit: Culprit,
}

/// Who made a transfer fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// What the task names cannot be had.
    Data,
    /// This machine, its disk for one: elsewhere it may go well.
    Worker,
}
