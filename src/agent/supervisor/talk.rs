//! The connection of an agent to its supervisor: who waits for which reply.
//!
//! Requests are written by whoever makes them, without a detour over a task;
//! one task reads. A request that the socket has no room for waits for that
//! task, and what is to be forgotten waits for the next request: each frame
//! wakes the supervisor, and this can wait.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::io::AsyncReadExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::client::SupervisorEvent;
use super::connection::LineBuffer;
use super::protocol::{
    EndRecord, FromSupervisor, KnownExecution, SignalRefusal, SpawnRefusal, SpawnRequest,
    ToSupervisor, push_line,
};
use crate::domain::{ExecutionId, Timestamp};

/// How long forgetting may wait for another request.
const FORGET_WITHIN: Duration = Duration::from_secs(1);

/// So much to forget is a request of its own.
const MANY_TO_FORGET: usize = 64;

/// The writing side of a connection, and all who wait.
#[derive(Debug)]
pub(super) struct Talk {
    stream: OwnedWriteHalf,
    outgoing: Mutex<Outgoing>,
    /// There are bytes for which the socket had no room.
    blocked: Notify,
    waiting: Mutex<Waiting>,
    events: mpsc::UnboundedSender<SupervisorEvent>,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// To be forgotten with the next request.
    forgotten: Vec<ExecutionId>,
}

/// Waits for a reply.
type Asker<T> = oneshot::Sender<T>;

/// Comes when the supervisor answers, or fails when it is gone.
pub(super) type Reply<T> = oneshot::Receiver<T>;

/// The reply to a request to start something: process id and time.
pub(super) type Start = Result<(u32, Timestamp), SpawnRefusal>;

/// Who waits for what.
#[derive(Debug, Default)]
struct Waiting {
    last_number: u64,
    starts: FxHashMap<u64, (ExecutionId, Asker<Start>)>,
    signals: FxHashMap<u64, Asker<Option<SignalRefusal>>>,
    lists: FxHashMap<u64, Asker<Vec<KnownExecution>>>,
    /// Executions whose start is not dealt with yet; with the end, if that has
    /// come as well.
    unclaimed: FxHashMap<ExecutionId, Option<EndRecord>>,
    gone: bool,
}

/// Holds back the end of an execution until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    talk: Arc<Talk>,
    execution: ExecutionId,
}

/// The task that reads.
pub(super) struct Reader {
    pub(super) talk: Arc<Talk>,
    pub(super) stream: OwnedReadHalf,
    /// What was read already.
    pub(super) lines: LineBuffer,
    /// Room for one read.
    pub(super) buffer: Vec<u8>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(Some(end)) = self.talk.waiting().unclaimed.remove(&self.execution) {
            self.talk.tell(SupervisorEvent::Ended(end));
        }
    }
}

impl Outgoing {
    fn push(&mut self, message: &ToSupervisor) {
        let length = self.bytes.len();
        if let Err(error) = push_line(&mut self.bytes, message) {
            self.bytes.truncate(length);
            tracing::error!(%error, "a request has no JSON form");
        }
    }

    fn push_forgotten(&mut self) {
        if !self.forgotten.is_empty() {
            let executions = std::mem::take(&mut self.forgotten);
            self.push(&ToSupervisor::Forget { executions });
        }
    }
}

impl Talk {
    pub(super) fn new(
        stream: OwnedWriteHalf,
        events: mpsc::UnboundedSender<SupervisorEvent>,
    ) -> Self {
        Self {
            stream,
            outgoing: Mutex::default(),
            blocked: Notify::new(),
            waiting: Mutex::default(),
            events,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the start of `request`, and for its end to be held back.
    pub(super) fn start(self: &Arc<Self>, request: SpawnRequest) -> Option<(Claim, Reply<Start>)> {
        let execution = request.execution;
        let claim = Claim { talk: Arc::clone(self), execution };
        let (asker, reply) = oneshot::channel();
        let number = self.wait_for(|waiting| &mut waiting.starts, (execution, asker))?;
        self.send(&ToSupervisor::Spawn { number, request });
        Some((claim, reply))
    }

    pub(super) fn signal(
        &self,
        execution: ExecutionId,
        signal: i32,
    ) -> Option<Reply<Option<SignalRefusal>>> {
        let (asker, reply) = oneshot::channel();
        let number = self.wait_for(|waiting| &mut waiting.signals, asker)?;
        self.send(&ToSupervisor::Signal { number, execution, signal });
        Some(reply)
    }

    pub(super) fn list(&self) -> Option<Reply<Vec<KnownExecution>>> {
        let (asker, reply) = oneshot::channel();
        let number = self.wait_for(|waiting| &mut waiting.lists, asker)?;
        self.send(&ToSupervisor::List { number });
        Some(reply)
    }

    pub(super) fn forget(&self, execution: ExecutionId) {
        let mut outgoing = self.outgoing();
        outgoing.forgotten.push(execution);
        if outgoing.forgotten.len() >= MANY_TO_FORGET {
            self.write_with(&mut outgoing, None);
        }
    }

    /// Sends what is to be forgotten, and then this.
    pub(super) fn send(&self, message: &ToSupervisor) {
        self.write_with(&mut self.outgoing(), Some(message));
    }

    /// Waits until everything is written, or there is nobody to read it.
    pub(super) async fn written(&self) {
        while !self.write(&mut self.outgoing().bytes) {
            if self.stream.writable().await.is_err() {
                return;
            }
        }
    }

    /// Notes who waits for the reply to a new request and gives its number;
    /// none when there will be no reply.
    fn wait_for<T>(
        &self,
        kind: impl FnOnce(&mut Waiting) -> &mut FxHashMap<u64, T>,
        entry: T,
    ) -> Option<u64> {
        let mut waiting = self.waiting();
        if waiting.gone {
            return None;
        }
        waiting.last_number += 1;
        let number = waiting.last_number;
        kind(&mut waiting).insert(number, entry);
        Some(number)
    }

    fn write_with(&self, outgoing: &mut Outgoing, message: Option<&ToSupervisor>) {
        let is_blocked = !outgoing.bytes.is_empty();
        outgoing.push_forgotten();
        if let Some(message) = message {
            outgoing.push(message);
        }
        if !is_blocked && !self.write(&mut outgoing.bytes) {
            self.blocked.notify_one();
        }
    }

    /// Whether everything is written.
    fn write(&self, bytes: &mut Vec<u8>) -> bool {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(written) => drop(bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The reader finds out, and tells those who wait.
                Err(_) => bytes.clear(),
            }
        }
        true
    }

    fn tell(&self, event: SupervisorEvent) {
        // An agent that listens no more reads it at the next connection.
        drop(self.events.send(event));
    }

    fn on_message(&self, message: FromSupervisor) {
        let mut waiting = self.waiting();
        match message {
            FromSupervisor::Spawned { number, pid, started_at } => {
                if let Some((execution, sender)) = waiting.starts.remove(&number) {
                    waiting.unclaimed.insert(execution, None);
                    if sender.send(Ok((pid, started_at))).is_err() {
                        waiting.unclaimed.remove(&execution);
                    }
                }
            }
            FromSupervisor::NotSpawned { number, refusal } => {
                if let Some((_, sender)) = waiting.starts.remove(&number) {
                    drop(sender.send(Err(refusal)));
                }
            }
            FromSupervisor::Signalled { number, refusal } => {
                if let Some(sender) = waiting.signals.remove(&number) {
                    drop(sender.send(refusal));
                }
            }
            FromSupervisor::Known { number, known } => {
                if let Some(sender) = waiting.lists.remove(&number) {
                    drop(sender.send(known));
                }
            }
            FromSupervisor::Ended(end) => match waiting.unclaimed.get_mut(&end.execution) {
                Some(place) => *place = Some(end),
                None => self.tell(SupervisorEvent::Ended(end)),
            },
            FromSupervisor::Replaced {} => tracing::warn!("another agent uses this work directory"),
            FromSupervisor::Welcome { .. } | FromSupervisor::Refused { .. } => {
                tracing::warn!("the supervisor greets in the middle of a talk");
            }
        }
    }

    /// Tells everybody who waits that nothing more will come. Ends that were
    /// not told yet are told by the next supervisor.
    fn on_gone(&self) {
        *self.waiting() = Waiting { gone: true, ..Waiting::default() };
        self.tell(SupervisorEvent::Gone);
    }
}

impl Reader {
    pub(super) async fn run(mut self) {
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "lost the supervisor");
        }
        self.talk.on_gone();
    }

    async fn read(&mut self) -> io::Result<()> {
        let mut blocked = false;
        let mut forget = tokio::time::interval(FORGET_WITHIN);
        forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(line) = self.lines.next_line() {
                self.talk.on_message(serde_json::from_slice(line)?);
            }
            tokio::select! {
                length = self.stream.read(&mut self.buffer) => match length? {
                    0 => return Ok(()),
                    length => self.lines.push(self.buffer.get(..length).unwrap_or_default()),
                },
                () = self.talk.blocked.notified(), if !blocked => blocked = true,
                writable = self.talk.stream.writable(), if blocked => {
                    writable?;
                    blocked = !self.talk.write(&mut self.talk.outgoing().bytes);
                }
                _ = forget.tick() => self.talk.write_with(&mut self.talk.outgoing(), None),
            }
        }
    }
}
