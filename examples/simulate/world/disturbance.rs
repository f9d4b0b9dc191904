//! All that people do and all that goes wrong.

use std::fmt;

use super::calendar::{AgentNumber, SECOND};

/// One thing that is done to the world. Tasks are named by a number that is
/// taken modulo the count of those that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disturbance {
    Queue {
        count: u64,
        style: u64,
    },
    Tasks {
        verb: Verb,
        tasks: Vec<u64>,
    },
    Edit {
        task: u64,
        style: u64,
    },
    Move {
        task: u64,
        batch: u64,
    },
    Batch {
        verb: BatchVerb,
        batch: u64,
    },
    Worker {
        agent: AgentNumber,
        change: WorkerChange,
    },
    /// Processes die. Down for so long, microseconds.
    KillServer {
        down: u64,
    },
    KillAgent {
        agent: AgentNumber,
        down: u64,
        when: Dying,
    },
    KillSupervisor {
        agent: AgentNumber,
    },
    /// The machine goes, with the end of what it had not synced.
    Crash {
        agent: AgentNumber,
        down: u64,
    },
    /// The machine stands still.
    Suspend {
        agent: AgentNumber,
        time: u64,
    },
    SuspendServer {
        time: u64,
    },
    /// No way between an agent and the server; what was under way is lost.
    Cut {
        agent: AgentNumber,
        time: u64,
    },
    /// What is under way stays there for so long; a new connection gets through.
    Stall {
        agent: AgentNumber,
        time: u64,
    },
    /// Reports and output come twice.
    Duplicate {
        agent: AgentNumber,
        time: u64,
    },
    /// Connections of people break between commit and reply.
    LoseReplies {
        time: u64,
    },
    SlowDisk {
        time: u64,
    },
    FullDisk {
        time: u64,
    },
    /// One commit fails, and the next goes well.
    FailCommit,
    FullAgentDisk {
        agent: AgentNumber,
        time: u64,
    },
    ServerDate {
        jump: i64,
    },
    AgentDate {
        agent: AgentNumber,
        jump: i64,
    },
}

/// What is done to tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Verb {
    Cancel,
    Kill,
    Signal,
    Pause,
    Resume,
    Relaunch,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum BatchVerb {
    Pause,
    /// Its commands are suspended, too.
    Freeze,
    Go,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerChange {
    Slots {
        concurrency: u32,
        prefetch: u32,
    },
    Pause,
    Run,
    Batch(u64),
    /// Its agent makes place for a new process.
    Restart,
    Delete,
}

/// At what point of its work an agent dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dying {
    Idle,
    /// It has done what it wanted, and written and told nothing of it.
    BeforeWriting,
}

impl Disturbance {
    /// Whether nobody wants it.
    pub const fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Queue { .. }
                | Self::Tasks { .. }
                | Self::Edit { .. }
                | Self::Move { .. }
                | Self::Batch { .. }
                | Self::Worker { .. }
        )
    }
}

impl Disturbance {
    /// The agent that it is about.
    pub const fn agent(&self) -> Option<AgentNumber> {
        match self {
            Self::Worker { agent, .. }
            | Self::KillAgent { agent, .. }
            | Self::KillSupervisor { agent }
            | Self::Crash { agent, .. }
            | Self::Suspend { agent, .. }
            | Self::Cut { agent, .. }
            | Self::Stall { agent, .. }
            | Self::Duplicate { agent, .. }
            | Self::FullAgentDisk { agent, .. }
            | Self::AgentDate { agent, .. } => Some(*agent),
            _ => None,
        }
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: &u64| *time as f64 / SECOND as f64;
        match self {
            Self::Queue { count, .. } => write!(f, "queue {count} tasks"),
            Self::Tasks { verb, tasks } => write!(f, "{verb} {} tasks", tasks.len()),
            Self::Edit { .. } => write!(f, "edit a task"),
            Self::Move { batch, .. } => write!(f, "move a task to batch b{batch}"),
            Self::Batch { verb, batch } => write!(f, "{verb} batch b{batch}"),
            Self::Worker { agent, change } => write!(f, "worker of agent {agent}: {change:?}"),
            Self::KillServer { down } => write!(f, "kill the server for {} s", seconds(down)),
            Self::KillAgent { agent, down, when } => {
                write!(f, "kill agent {agent} ({when:?}) for {} s", seconds(down))
            }
            Self::KillSupervisor { agent } => write!(f, "kill the supervisor of agent {agent}"),
            Self::Crash { agent, down } => {
                write!(f, "crash the machine of agent {agent} for {} s", seconds(down))
            }
            Self::Suspend { agent, time } => {
                write!(f, "suspend the machine of agent {agent} for {} s", seconds(time))
            }
            Self::SuspendServer { time } => write!(f, "stop the server for {} s", seconds(time)),
            Self::Cut { agent, time } => write!(f, "cut agent {agent} off for {} s", seconds(time)),
            Self::Stall { agent, time } => {
                write!(f, "stall the link of agent {agent} for {} s", seconds(time))
            }
            Self::Duplicate { agent, time } => {
                write!(f, "what agent {agent} says comes twice for {} s", seconds(time))
            }
            Self::LoseReplies { time } => write!(f, "replies get lost for {} s", seconds(time)),
            Self::SlowDisk { time } => write!(f, "slow disk for {} s", seconds(time)),
            Self::FullDisk { time } => write!(f, "full disk for {} s", seconds(time)),
            Self::FailCommit => write!(f, "the next commit fails"),
            Self::FullAgentDisk { agent, time } => {
                write!(f, "full disk of agent {agent} for {} s", seconds(time))
            }
            Self::ServerDate { jump } => {
                write!(f, "the server's date jumps by {} s", jump / 1_000_000)
            }
            Self::AgentDate { agent, jump } => {
                write!(f, "the date of agent {agent} jumps by {} s", jump / 1_000_000)
            }
        }
    }
}
