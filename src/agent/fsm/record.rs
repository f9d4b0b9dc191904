//! What the agent writes down of its executions, so that its successor on this
//! workdir goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::cache::CacheKey;
use crate::api::link::Report;
use crate::domain::execution::{Outcome, OutputSizes, Suspension};
use crate::domain::{ExecutionId, Timestamp};

use super::effect::Files;
use super::execution::{Order, StopReason};

/// One line of the journal.
///
/// That a command runs or how it ended is not in here: the supervisor knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Accepted {
        order: Arc<Order>,
        at: Timestamp,
    },
    Started {
        execution: ExecutionId,
        at: Timestamp,
        /// The same moment since boot, which no change of the date moves. Agents
        /// of before did not write it.
        #[serde(default)]
        since_boot: Option<Duration>,
    },
    /// Another order took the place of the accepted one: the task was edited,
    /// or another database has adopted it.
    Changed {
        order: Arc<Order>,
    },
    /// It is held back so far from now on.
    Held {
        execution: ExecutionId,
        suspension: Suspension,
    },
    /// The command was suspended with so much of its time left.
    Suspended {
        execution: ExecutionId,
        left: Option<Duration>,
    },
    /// The command was continued.
    Resumed {
        execution: ExecutionId,
        at: Timestamp,
        #[serde(default)]
        since_boot: Option<Duration>,
    },
    /// Stands for all that it was given.
    Keyed {
        execution: ExecutionId,
        key: CacheKey,
    },
    /// An ended one is here again: its outputs are to be sent once more.
    Resent(Box<ResentRecord>),
    /// The command shall end, for this reason.
    Stopping {
        execution: ExecutionId,
        reason: StopReason,
    },
    /// The final report, kept until the server has acknowledged it.
    Finished {
        report: Report,
        files: Files,
    },
    /// Nothing more will happen to it.
    Gone {
        execution: ExecutionId,
        files: Files,
    },
}

/// What is left to do of an execution whose upload has failed before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResentRecord {
    pub order: Arc<Order>,
    pub accepted_at: Timestamp,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub outcome: Outcome,
    pub output: OutputSizes,
}

impl Record {
    /// Whether it says what a person wants: rare, and nothing that the successor
    /// of a killed agent should have to hear again.
    #[must_use]
    pub const fn is_word_of_a_person(&self) -> bool {
        matches!(
            self,
            Self::Changed { .. }
                | Self::Held { .. }
                | Self::Suspended { .. }
                | Self::Resumed { .. }
                | Self::Stopping { .. }
        )
    }

    /// The execution that it is about.
    #[must_use]
    pub fn execution(&self) -> ExecutionId {
        match self {
            Self::Accepted { order, .. } | Self::Changed { order } => order.execution,
            Self::Started { execution, .. }
            | Self::Held { execution, .. }
            | Self::Suspended { execution, .. }
            | Self::Resumed { execution, .. }
            | Self::Stopping { execution, .. }
            | Self::Keyed { execution, .. }
            | Self::Gone { execution, .. } => *execution,
            Self::Resent(resent) => resent.order.execution,
            Self::Finished { report, .. } => report.execution,
        }
    }
}
