//! One execution as the agent holds it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::link::{Held, Report};
use crate::domain::execution::{Outcome, OutputSizes, Phase};
use crate::domain::task::TaskSpec;
use crate::domain::{Epoch, ExecutionId, Monotonic, StoreId, TaskId, Timestamp};

use super::effect::Files;

/// What the server ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub execution: ExecutionId,
    pub task: TaskId,
    pub attempt: u32,
    /// The database from which it comes. Restored from a backup it is another
    /// one, which may have lost sight of the execution.
    pub store: (StoreId, Epoch),
    pub spec: TaskSpec,
}

/// Why the agent ends a command; a later one overrides an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It ran for longer than it may.
    TimeLimit,
    /// A person ended it.
    Cancelled,
    /// Another execution has taken over: nothing is reported.
    Superseded,
}

/// One execution, from its order until its end is acknowledged.
#[derive(Debug, Clone)]
pub struct Execution {
    pub order: Arc<Order>,
    pub accepted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    /// The server has acknowledged [`crate::api::link::ReportEvent::Accepted`].
    pub acceptance_known: bool,
    /// The server has acknowledged [`crate::api::link::ReportEvent::Started`].
    pub start_known: bool,
    /// The server does not know it: it runs on, and nothing is told.
    pub orphaned: bool,
    pub stop: Option<StopReason>,
    /// When something is due: what it is follows from the stage.
    pub deadline: Option<Monotonic>,
    pub stage: Stage,
}

/// Where an execution stands.
#[derive(Debug, Clone)]
pub enum Stage {
    /// Read from the journal; the supervisor has not said yet whether it runs.
    Restored,
    /// Deadline: the limit on downloads.
    Downloading,
    Ready,
    /// The supervisor was asked to start it. Holds a slot.
    Starting,
    /// Holds a slot. Deadline: the limit on the run, or once it shall stop,
    /// the moment for the last means.
    Running,
    /// The command has ended. Deadline: the next try of the upload.
    Ending(Box<Ending>),
    /// The final report is written down.
    Reported(Box<Reported>),
}

/// What is left to do after the end of a command.
#[derive(Debug, Clone)]
pub struct Ending {
    pub outcome: Outcome,
    pub ended_at: Timestamp,
    pub upload: Upload,
    /// The sizes of the streams once all was sent on the present link.
    pub output: Option<OutputSizes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// Nothing to send, or all sent.
    Done,
    /// The server has not said yet, or not lately, that this execution is the
    /// active one.
    AwaitingLeave {
        failing: Option<Failing>,
    },
    Running {
        failing: Option<Failing>,
    },
    /// Failed, and due again at the deadline.
    Waiting {
        failing: Failing,
    },
}

/// A row of failed tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    pub since: Monotonic,
    pub failures: u32,
}

/// The end, as it is or will be told.
#[derive(Debug, Clone)]
pub struct Reported {
    pub report: Report,
    pub output: OutputSizes,
    pub files: Files,
}

impl Execution {
    #[must_use]
    pub fn id(&self) -> ExecutionId {
        self.order.execution
    }

    /// Whether it has or is about to get a process.
    #[must_use]
    pub const fn holds_slot(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Running)
    }

    /// Whether it waits for nothing but a slot.
    #[must_use]
    pub const fn is_startable(&self) -> bool {
        matches!(self.stage, Stage::Ready)
            && self.acceptance_known
            && !self.orphaned
            && self.stop.is_none()
    }

    /// Whether the command has ended, or will never run.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Ending(_) | Stage::Reported(_))
    }

    /// What becomes of its directory in the end: the files of a command that
    /// was started and failed are kept.
    #[must_use]
    pub const fn files(&self) -> Files {
        match &self.stage {
            Stage::Reported(reported) => reported.files,
            Stage::Ending(ending) if ending.outcome.failure.is_some() => Files::Keep,
            _ => Files::Remove,
        }
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Restored | Stage::Downloading => Phase::Downloading,
            Stage::Ready | Stage::Starting => Phase::Ready,
            Stage::Running => Phase::Running,
            Stage::Ending(ending) if ending.upload != Upload::Done => Phase::Uploading,
            Stage::Ending(_) | Stage::Reported(_) => {
                if self.started_at.is_some() {
                    Phase::Running
                } else {
                    Phase::Downloading
                }
            }
        }
    }

    /// How it is named in a hello.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            execution: self.order.execution,
            task: self.order.task,
            revision: 0,
            phase: self.phase(),
            accepted_at: Some(self.accepted_at),
            started_at: self.started_at,
            ended: self.has_ended(),
        }
    }
}
