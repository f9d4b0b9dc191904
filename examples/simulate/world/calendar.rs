//! What happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use scitq::agent::fsm::{Event, Order};
use scitq::domain::ExecutionId;

use std::sync::Arc;

/// Microseconds since the beginning of the world.
pub type Moment = u64;

pub const MILLISECOND: u64 = 1_000;
pub const SECOND: u64 = 1_000_000;
pub const MINUTE: u64 = 60 * SECOND;

/// Which agent, from 0.
pub type AgentNumber = usize;

/// Which connection, from 0; none is used twice.
pub type ConnectionNumber = usize;

/// Something that happens to somebody.
#[derive(Debug)]
pub enum Happening {
    /// The plan's disturbance of that number.
    Disturb(usize),
    ServerStarts,
    /// The engine has something to do.
    ServerTurn {
        life: u64,
    },
    ServerTick {
        life: u64,
    },
    CommitEnds {
        life: u64,
    },
    ArrivesUp {
        connection: ConnectionNumber,
        frame: UpFrame,
    },
    ArrivesDown {
        connection: ConnectionNumber,
        text: String,
    },
    /// A side learns that the connection is over.
    ServerSeesEnd {
        connection: ConnectionNumber,
    },
    AgentSeesEnd {
        connection: ConnectionNumber,
    },
    /// The reply of a request is under way, or the request itself.
    RequestArrives {
        request: usize,
    },
    ReplyArrives {
        request: usize,
        reply: usize,
    },
    AskAgain {
        request: usize,
    },
    /// To one agent, in one of its lives.
    Agent {
        agent: AgentNumber,
        life: u64,
        what: AgentHappening,
    },
    Machine {
        agent: AgentNumber,
        what: MachineHappening,
    },
    /// Faults have stopped: see whether all is done.
    LookAtEnd,
}

/// What happens to an agent's process.
#[derive(Debug)]
pub enum AgentHappening {
    Turn,
    Wake,
    Heartbeat,
    Dial,
    Told(Box<Event>),
    /// A download or an upload has come to its end.
    TransferEnds {
        execution: ExecutionId,
        transfer: u64,
    },
    OutputStep {
        execution: ExecutionId,
    },
    /// A heartbeat whose figures have been taken.
    SendHeartbeat {
        link: u64,
        text: String,
    },
    /// Whether the link was silent for too long.
    LookAtSilence {
        connection: ConnectionNumber,
    },
    SupervisorBack,
}

/// What happens on an agent's machine, whether or not an agent is there.
#[derive(Debug)]
pub enum MachineHappening {
    AgentStarts { life: u64 },
    Spawn { life: u64, boot: u64, order: Arc<Order> },
    CommandEnds { execution: ExecutionId, generation: u64 },
}

/// What an agent says.
#[derive(Debug, Clone)]
pub enum UpFrame {
    Text(String),
    Output(Vec<u8>),
}

/// All that will happen, earliest first; of one moment in the order of entry.
#[derive(Debug, Default)]
pub struct Calendar {
    entries: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    at: Moment,
    number: u64,
    what: Happening,
}

impl Calendar {
    pub fn enter(&mut self, at: Moment, what: Happening) {
        self.count += 1;
        self.entries.push(Reverse(Entry { at, number: self.count, what }));
    }

    pub fn next(&mut self) -> Option<(Moment, Happening)> {
        self.entries.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}
