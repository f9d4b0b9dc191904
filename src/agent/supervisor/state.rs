//! What a supervisor knows, shared by its two threads.
//!
//! Each change is written to the journal before the agent is told: both go
//! through [`State::publish`], which writes the one and then the other.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::connection::Outgoing;
use super::journal::{Journal, Record, Started};
use super::protocol::{EndRecord, FromSupervisor, KnownExecution};
use crate::domain::ExecutionId;

/// How long the word of a start waits for the end of the command. Most short
/// commands have ended by then, and the agent is woken up once instead of twice.
const TOGETHER: Duration = Duration::from_millis(3);

/// The state, and what its two threads tell each other.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Signalled when a start is over, for better or worse.
    pub(super) start_over: Condvar,
    /// An eventfd that makes the thread of the socket look up.
    pub(super) wake: OwnedFd,
}

/// What a supervisor knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) running: FxHashMap<ExecutionId, Started>,
    /// The execution of each running process.
    pub(super) by_pid: FxHashMap<i32, ExecutionId>,
    /// Ends that the agent has not taken yet.
    pub(super) ended: BTreeMap<ExecutionId, EndRecord>,
    /// A process is being started: one that nobody knows may be it.
    pub(super) starting: bool,
    pub(super) journal: Journal,
    /// The agent that counts.
    pub(super) agent: Option<Outgoing>,
    /// When the frames for the agent are sent that wait for more.
    pub(super) send_at: Option<Instant>,
}

impl Shared {
    pub(super) fn new(
        journal: Journal,
        ended: BTreeMap<ExecutionId, EndRecord>,
        wake: OwnedFd,
    ) -> Self {
        let state = State {
            running: FxHashMap::default(),
            by_pid: FxHashMap::default(),
            ended,
            starting: false,
            journal,
            agent: None,
            send_at: None,
        };
        Self { state: Mutex::new(state), start_over: Condvar::new(), wake }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the start that is under way is over.
    pub(super) fn wait_for_start<'a>(&self, guard: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.start_over.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the thread of the socket look up.
    pub(super) fn wake(&self) {
        if let Err(error) = rustix::io::write(&self.wake, &1_u64.to_ne_bytes()) {
            tracing::error!(%error, "cannot wake the thread of the socket");
        }
    }
}

impl State {
    pub(super) fn known(&self) -> Vec<KnownExecution> {
        let running = self.running.values().map(|started| KnownExecution::Running {
            execution: started.execution,
            pid: started.pid.unsigned_abs(),
            started_at: started.at,
        });
        running.chain(self.ended.values().cloned().map(KnownExecution::Ended)).collect()
    }

    pub(super) fn on_started(&mut self, started: Started) {
        self.running.insert(started.execution, started);
        self.by_pid.insert(started.pid, started.execution);
        self.journal.append(&Record::Started(started));
    }

    pub(super) fn on_ended(&mut self, end: EndRecord) {
        if let Some(started) = self.running.remove(&end.execution) {
            self.by_pid.remove(&started.pid);
        }
        self.journal.append(&Record::Ended(end.clone()));
        if let Some(agent) = &mut self.agent {
            agent.push(&FromSupervisor::Ended(end.clone()));
        }
        self.ended.insert(end.execution, end);
    }

    pub(super) fn on_forget(&mut self, executions: Vec<ExecutionId>) {
        for execution in &executions {
            self.ended.remove(execution);
        }
        self.journal.append(&Record::Forgotten(executions));
    }

    /// Adds a frame for the agent, if there is one.
    pub(super) fn tell(&mut self, message: &FromSupervisor) {
        if let Some(agent) = &mut self.agent {
            agent.push(message);
        }
    }

    /// Adds the frame of a start, which is sent with what follows soon.
    pub(super) fn tell_start(&mut self, message: &FromSupervisor) {
        self.tell(message);
        self.write_journal();
        if self.agent.is_some() {
            self.send_at.get_or_insert_with(|| Instant::now() + TOGETHER);
        }
    }

    /// Writes the journal, then tells the agent.
    pub(super) fn publish(&mut self) {
        self.write_journal();
        self.send_at = None;
        if let Some(agent) = &mut self.agent
            && let Err(error) = agent.flush()
        {
            tracing::warn!(%error, "lost the agent");
            self.agent = None;
        }
    }

    /// A full disk does not keep an end from the agent, which may have another
    /// disk to write it to: the journal catches up with its next line.
    fn write_journal(&mut self) {
        if let Err(error) = self.journal.flush() {
            tracing::error!(%error, "cannot write the journal");
        } else if self.journal.wants_compaction() {
            let running: Vec<&Started> = self.running.values().collect();
            let ended: Vec<&EndRecord> = self.ended.values().collect();
            if let Err(error) = self.journal.compact(&running, &ended) {
                tracing::error!(%error, "cannot rewrite the journal");
            }
        }
    }

    /// Whether frames wait for a socket that is full.
    pub(super) fn is_blocked(&self) -> bool {
        self.send_at.is_none() && self.agent.as_ref().is_some_and(|agent| !agent.is_empty())
    }
}
