//! One execution as the agent holds it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::cache::{CacheKey, CachedFile};
use crate::api::link::{Held, Report};
use crate::domain::execution::{Failure, FailureClass, Outcome, OutputSizes, Phase, Suspension};
use crate::domain::signal::Signal;
use crate::domain::task::TaskSpec;
use crate::domain::{Epoch, ExecutionId, Monotonic, StoreId, TaskId, Timestamp};

use super::effect::Files;
use super::event::Reuse;

/// What the server ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub execution: ExecutionId,
    pub task: TaskId,
    pub attempt: u32,
    /// Which edition of the task's specification this is.
    #[serde(default)]
    pub revision: u32,
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
    /// A person ended it at once.
    Killed,
    /// Another execution has taken over: nothing is reported.
    Superseded,
}

/// One execution, from its order until its end is acknowledged.
#[derive(Debug, Clone)]
pub struct Execution {
    pub order: Arc<Order>,
    pub accepted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub known: Known,
    /// The server does not know it: it runs on, and nothing is told.
    pub orphaned: bool,
    /// The server wants it for another worker unless it turns out that it runs.
    pub wanted_back: bool,
    pub stop: Option<StopReason>,
    /// Signals that came while the command was being started.
    pub signals: Vec<Signal>,
    /// How far it is held back.
    pub suspension: Suspension,
    /// None before the command has started.
    pub clock: Option<RunClock>,
    /// When something is due: what it is follows from the stage.
    pub deadline: Option<Monotonic>,
    pub stage: Stage,
    pub cache: CacheState,
}

/// What an execution has to do with the outputs of others.
#[derive(Debug, Clone, Default)]
pub struct CacheState {
    /// Stands for all that it was given; only of a task that wants to know.
    pub key: Option<CacheKey>,
    /// What it takes over instead of running its command.
    pub reuse: Option<Box<Reuse>>,
    /// What it made, once that was sent.
    pub made: Option<Vec<CachedFile>>,
}

/// What the server has acknowledged of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    Nothing,
    /// [`crate::api::link::ReportEvent::Accepted`].
    Accepted,
    /// [`crate::api::link::ReportEvent::Started`].
    Started,
}

/// The time that a command has for its run. It is counted since boot: people
/// and time servers change the date, and no command outlives its boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunClock {
    /// It passes: so much was left at that moment. None: there is no limit.
    Passes { since: Monotonic, left: Option<Duration> },
    /// The command is suspended, and the clock stands still.
    Stands { left: Option<Duration> },
}

/// Where an execution stands.
#[derive(Debug, Clone)]
pub enum Stage {
    /// Read from the journal; the supervisor has not said yet whether it runs.
    Restored,
    /// Deadline: the limit on downloads.
    Downloading(Fetching),
    Ready,
    /// The supervisor was asked to start it. Holds a slot.
    Starting,
    /// Holds a slot. Deadline: the limit on the run; or the moment for the last
    /// means, once it shall stop, or be suspended.
    Running,
    /// The command has ended. Deadline: the next try of the upload.
    Ending(Box<Ending>),
    /// The final report is written down.
    Reported(Box<Reported>),
}

/// For which revision of the task data is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetching {
    /// For the one that counts.
    Present,
    /// For one that was edited meanwhile: it is broken off, and then the data
    /// of the present one follows.
    Former,
}

/// What is left to do after the end of a command.
#[derive(Debug, Clone)]
pub struct Ending {
    pub outcome: Outcome,
    pub ended_at: Timestamp,
    pub upload: Upload,
    /// When the task's limit on sending has passed; counted from the server's leave.
    pub upload_until: Option<Monotonic>,
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

impl StopReason {
    /// The failure of what a person ended; none for other reasons.
    #[must_use]
    pub fn by_person(self) -> Option<Failure> {
        let reason = match self {
            Self::Cancelled => "cancelled",
            Self::Killed => "killed",
            Self::TimeLimit | Self::Superseded => return None,
        };
        Some(Failure { class: FailureClass::Cancelled, reason: reason.to_owned() })
    }
}

impl RunClock {
    /// What is left; none when there is no limit.
    #[must_use]
    pub fn left(self, now: Monotonic) -> Option<Duration> {
        match self {
            Self::Stands { left } => left,
            Self::Passes { since, left } => left.map(|left| left.saturating_sub(now.since(since))),
        }
    }
}

impl Execution {
    /// An execution of which the server knows nothing yet.
    #[must_use]
    pub const fn new(order: Arc<Order>, accepted_at: Timestamp, stage: Stage) -> Self {
        Self {
            order,
            accepted_at,
            started_at: None,
            known: Known::Nothing,
            orphaned: false,
            wanted_back: false,
            stop: None,
            signals: Vec::new(),
            suspension: Suspension::No,
            clock: None,
            deadline: None,
            stage,
            cache: CacheState { key: None, reuse: None, made: None },
        }
    }

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
    pub fn is_startable(&self) -> bool {
        matches!(self.stage, Stage::Ready)
            && self.known >= Known::Accepted
            && self.suspension == Suspension::No
            && !self.orphaned
            && self.stop.is_none()
    }

    /// The command has started: its time begins to pass.
    pub fn start_clock(&mut self, since: Monotonic) {
        let limit = self.order.spec.run_timeout;
        let left = limit.map(|limit| Duration::from_secs(limit.into()));
        self.clock.get_or_insert(RunClock::Passes { since, left });
    }

    /// The command was continued: its time passes again.
    pub const fn resume_clock(&mut self, since: Monotonic) {
        if let Some(RunClock::Stands { left }) = self.clock {
            self.clock = Some(RunClock::Passes { since, left });
        }
    }

    /// Whether its command is suspended, or about to be.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        matches!((&self.stage, self.clock), (Stage::Running, Some(RunClock::Stands { .. })))
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
            Stage::Restored | Stage::Downloading(_) => Phase::Downloading,
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
            revision: self.order.revision,
            phase: self.phase(),
            accepted_at: Some(self.accepted_at),
            started_at: self.started_at,
            ended: self.has_ended(),
        }
    }
}
