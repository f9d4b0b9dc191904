//! What the state machine wants done.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::link::Held;
use crate::api::worker::{Clean, Orphan};
use crate::domain::execution::{OutputSizes, Phase};
use crate::domain::signal::Signal;
use crate::domain::{Epoch, ExecutionId, StoreId};

use super::execution::Order;
use super::record::Record;

/// Something to do. Effects of one execution are done in the order in which
/// they were given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write it down before any frame that is sent later.
    Journal(Record),
    /// Make the task's directory and fetch inputs and resources. Answered by
    /// [`super::Event::Prepared`]. Wanted again only after that.
    Prepare {
        order: Arc<Order>,
        ground: Ground,
    },
    /// Start the command. Answered by [`super::Event::Started`] and
    /// [`super::Event::Ended`], or by [`super::Event::NotStarted`].
    Spawn(Arc<Order>),
    /// Signal the command's process group.
    Signal {
        execution: ExecutionId,
        signal: Signal,
    },
    /// The supervisor need not remember this command any longer.
    ForgetCommand(ExecutionId),
    /// Send the outputs. Answered by [`super::Event::Uploaded`].
    Upload(Arc<Order>),
    /// Stop the download or upload, which answers soon.
    StopTransfer(ExecutionId),
    /// Send the output of a command that has just started, as it grows.
    FollowNewOutput {
        execution: ExecutionId,
        link: u64,
    },
    /// Send the command's output from here on, as it grows.
    FollowOutput {
        execution: ExecutionId,
        link: u64,
        from: OutputSizes,
    },
    /// The command has ended: send what is left, then answer
    /// [`super::Event::OutputSent`].
    FinishOutput {
        execution: ExecutionId,
    },
    /// Send no more of its output.
    StopOutput(ExecutionId),
    /// Send no more output at all: the link is gone.
    StopAllOutput,
    /// Nothing more will happen to this execution.
    Discard {
        execution: ExecutionId,
        files: Files,
    },
    /// Introduce the agent.
    SendHello {
        link: u64,
        store: Option<(StoreId, Epoch)>,
        held: Vec<Held>,
        standing: Standing,
    },
    SendHeartbeat {
        link: u64,
        number: u64,
        phases: Vec<(ExecutionId, Phase)>,
        standing: Standing,
    },
    /// Tell that the provider takes the machine away.
    SendEvicted {
        link: u64,
        reason: String,
    },
    /// Close the link and dial again at once.
    Redial {
        link: u64,
    },
    /// Write down from which database the executions come.
    RememberStore(StoreId, Epoch),
    /// Write down the token that is bound to this worker.
    RememberToken(Secret),
    /// Take what is not needed off the disk.
    Clean(Clean),
    /// Make place for a new process; commands run on.
    Restart,
    /// Leave: nothing is left to do.
    Exit,
}

/// What an agent says of itself in each hello and heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// A person on this machine wants it to leave after its last execution.
    pub draining: bool,
    /// The silence, in seconds, after which it takes itself for lost.
    pub lease_seconds: Option<u64>,
    pub orphans: Vec<Orphan>,
}

/// What a task's directory may hold before it is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Nothing: what is there belongs to another database, and goes.
    Fresh,
    /// What an agent before this one has begun to fetch.
    Begun,
    /// What an earlier revision of the task wanted: the rest of it goes.
    Edited,
}

/// What becomes of a task's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Files {
    Remove,
    /// Kept for a person to look at, until the cleaner takes it.
    Keep,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
