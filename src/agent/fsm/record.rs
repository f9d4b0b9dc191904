//! What the agent writes down of its executions, so that its successor on this
//! workdir goes on where it was.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::link::Report;
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
    },
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

impl Record {
    /// The execution that it is about.
    #[must_use]
    pub fn execution(&self) -> ExecutionId {
        match self {
            Self::Accepted { order, .. } => order.execution,
            Self::Started { execution, .. }
            | Self::Stopping { execution, .. }
            | Self::Gone { execution, .. } => *execution,
            Self::Finished { report, .. } => report.execution,
        }
    }
}
