//! The hands of a simulated agent: what they are told to do is done by the
//! world after each turn, in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scitq::agent::driver::Carrier;
use scitq::agent::fsm::{Effect, Event};
use scitq::agent::journal::Paper;
use scitq::api::link::Down;
use scitq::domain::ExecutionId;
use scitq::domain::execution::Suspension;

/// What an agent wants done.
#[derive(Debug)]
pub enum Want {
    Effect(Effect),
    /// Follow the output of a command that has been running for a moment.
    Follow {
        execution: ExecutionId,
        link: u64,
    },
    /// The command has ended before anybody was told to follow it.
    FinishFresh {
        execution: ExecutionId,
        link: u64,
    },
    /// It has heard how far it shall hold an execution back.
    Note {
        execution: ExecutionId,
        suspension: Suspension,
    },
}

/// Takes effects in, and puts off what the real hands put off.
#[derive(Debug, Default)]
pub struct Hands {
    pub wants: Vec<Want>,
    fresh: BTreeMap<ExecutionId, u64>,
    discarded: Vec<Effect>,
}

/// The bytes of a journal, on a disk that may be full.
#[derive(Debug, Clone, Default)]
pub struct AgentDisk(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    written: Vec<u8>,
    is_full: bool,
}

impl Carrier for Hands {
    fn notice(&mut self, event: &Event) {
        if let Event::Frame { frame: Down::Suspend { execution, suspension }, .. } = event {
            self.wants.push(Want::Note { execution: *execution, suspension: *suspension });
        }
    }

    fn perform(&mut self, effect: Effect, _: u32) {
        match effect {
            Effect::FollowNewOutput { execution, link } => {
                self.fresh.insert(execution, link);
            }
            Effect::FinishOutput { execution } => match self.fresh.remove(&execution) {
                Some(link) => self.wants.push(Want::FinishFresh { execution, link }),
                None => self.wants.push(Want::Effect(effect)),
            },
            Effect::StopOutput(execution) => {
                self.fresh.remove(&execution);
                self.wants.push(Want::Effect(effect));
            }
            Effect::StopAllOutput => {
                self.fresh.clear();
                self.wants.push(Want::Effect(effect));
            }
            Effect::Discard { .. } => self.discarded.push(effect),
            effect => self.wants.push(Want::Effect(effect)),
        }
    }

    fn has_much(&self) -> bool {
        false
    }

    fn has_late(&self) -> bool {
        !self.fresh.is_empty() || !self.discarded.is_empty()
    }

    fn do_late(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        let follow = fresh.into_iter().map(|(execution, link)| Want::Follow { execution, link });
        self.wants.extend(follow);
        self.wants.extend(self.discarded.drain(..).map(Want::Effect));
    }
}

impl AgentDisk {
    pub fn contents(&self) -> Vec<u8> {
        self.bytes().written.clone()
    }

    pub fn length(&self) -> usize {
        self.bytes().written.len()
    }

    /// What was written after that is gone.
    pub fn cut_to(&self, length: usize) {
        self.bytes().written.truncate(length);
    }

    pub fn fill(&self) {
        self.bytes().is_full = true;
    }

    pub fn free(&self) {
        self.bytes().is_full = false;
    }

    fn bytes(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paper for AgentDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.bytes();
        if disk.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A system may always take less than it is given.
        let taken = bytes.len().div_ceil(2).max(bytes.len().min(64));
        disk.written.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        Ok(taken)
    }

    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.bytes();
        if disk.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.written = bytes.to_vec();
        Ok(())
    }
}
