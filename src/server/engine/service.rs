//! The way to the engine for the rest of the server.
//!
//! Commands are applied as they come, into one open set of changes. Whenever
//! the store's writer is free, the open set is handed over with all that waits
//! for it: replies, orders for agents, events. While the writer commits, the
//! next set fills. So one `fsync` carries as many commands as arrived during
//! the one before, and nobody is told anything that is not on disk.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::api::event::Event;
use crate::api::link::{Resend, Start, Verdict};
use crate::api::worker::Clean;
use crate::domain::execution::{Outcome, Suspension};
use crate::domain::signal::Signal;
use crate::domain::time::Clock;
use crate::domain::worker::{WantedState, WorkerSettings};
use crate::domain::{BatchId, ExecutionId, TaskId, TokenId};

use super::super::store::{CommitError, Store, StoreError, Writer};
use super::change::ExecutionRow;
use super::owner::{Outside, Owner};
use super::state::{LinkId, Policy};
use super::{Command, Refusal, Reply, State};

/// What a link's task passes on to its agent.
#[derive(Debug, Clone)]
pub enum LinkMessage {
    Start {
        execution: ExecutionId,
        task: TaskId,
        attempt: u32,
        revision: u32,
        spec: Arc<str>,
    },
    Order {
        execution: ExecutionId,
        verdict: Verdict,
    },
    Settings {
        settings: WorkerSettings,
        wanted: WantedState,
        lost_after_seconds: Option<u64>,
    },
    Suspend {
        execution: ExecutionId,
        suspension: Suspension,
    },
    Signal {
        execution: ExecutionId,
        signal: Signal,
    },
    Edit {
        execution: ExecutionId,
        revision: u32,
        spec: Arc<str>,
    },
    Adopt {
        executions: Vec<ExecutionId>,
    },
    Abandon {
        executions: Vec<ExecutionId>,
    },
    Clean {
        what: Clean,
    },
    Restart,
    Resend(Box<ResendOrder>),
    /// The link ends here.
    Close,
}

/// An order to send outputs once more, with the specification of the task.
#[derive(Debug, Clone)]
pub struct ResendOrder {
    pub execution: ExecutionId,
    pub row: ExecutionRow,
    pub spec: Arc<str>,
}

impl ResendOrder {
    /// What the agent is told.
    #[must_use]
    pub fn resend(&self, spec: Box<RawValue>) -> Resend {
        let row = &self.row;
        let mut outcome = row.outcome.as_deref().cloned().unwrap_or_else(Outcome::good);
        outcome.failure = None;
        let started_at = row.started_at.unwrap_or(row.assigned_at);
        let start = Start {
            execution: self.execution,
            task: row.task,
            attempt: row.attempt,
            revision: row.revision,
            spec,
        };
        Resend {
            start,
            outcome,
            accepted_at: row.accepted_at.unwrap_or(started_at),
            started_at,
            ended_at: row.ended_at.unwrap_or(started_at),
            output: row.output,
        }
    }
}

/// The sending side of a link.
pub type LinkSender = mpsc::UnboundedSender<LinkMessage>;

/// Who is told what has been committed. Called on the store's thread: must be quick.
pub trait Audience: Send + Sync {
    fn publish(&self, events: Vec<Event>);
    /// These tasks have ended, or are gone.
    fn ended(&self, tasks: &[TaskId]);
    /// No more output comes for these executions.
    fn output_complete(&self, executions: &[ExecutionId]);
    /// These tokens no longer hold.
    fn tokens_revoked(&self, tokens: &[TokenId]);
    /// Jobs were made or changed: somebody may have to carry one out.
    fn jobs_changed(&self) {}
    /// The output of these executions is not needed any more.
    fn output_garbage(&self, executions: Vec<ExecutionId>);
    /// The database cannot be trusted any more; the process must end.
    fn fatal(&self, reason: &str);
}

/// Makes a repeated request harmless.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// The client's key, in the name space of its token.
    pub key: Arc<str>,
    /// SHA-256 of the request: the same key with another request is refused.
    pub request_hash: [u8; 32],
}

/// A handle to the engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    messages: Sender<Message>,
    outage: Arc<Mutex<Option<Arc<str>>>>,
    shortage: Arc<Mutex<Option<Arc<str>>>>,
}

/// The engine's thread; joins it when dropped.
#[derive(Debug)]
pub struct EngineThread {
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

pub(super) type ReplySender = oneshot::Sender<Result<Reply, Refusal>>;

pub(super) enum Message {
    Apply(Box<Request>),
    Query(Box<dyn FnOnce(&State) + Send>),
    /// With the deleted batches that are gone.
    Committed(Result<Vec<BatchId>, CommitError>),
    GarbageCollected(Vec<ExecutionId>),
    Stop,
}

pub(super) struct Request {
    pub actor: Arc<str>,
    pub command: Command,
    pub key: Option<RequestKey>,
    pub link: Option<(LinkId, LinkSender)>,
    pub reply: ReplySender,
}

impl Engine {
    /// Loads the state from the store and starts the engine's thread.
    pub fn start(
        store: Arc<Store>,
        writer: Writer,
        clock: Arc<dyn Clock>,
        audience: Arc<dyn Audience>,
        policy: Policy,
    ) -> Result<(Self, EngineThread), StoreError> {
        let (engine, owner, incoming) = Self::prepare(store, writer, clock, audience, policy)?;
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || owner.run(&incoming))
            .map_err(StoreError::Thread)?;
        let messages = engine.messages.clone();
        Ok((engine, EngineThread { messages, thread: Some(thread) }))
    }

    pub(super) fn prepare(
        store: Arc<Store>,
        writer: Writer,
        clock: Arc<dyn Clock>,
        audience: Arc<dyn Audience>,
        policy: Policy,
    ) -> Result<(Self, Owner, Receiver<Message>), StoreError> {
        let (messages, incoming) = channel();
        let (outage, shortage) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let outside = Outside {
            reader: store.engine_reader()?,
            store,
            writer,
            clock,
            audience,
            messages: messages.clone(),
            outage: Arc::clone(&outage),
            shortage: Arc::clone(&shortage),
        };
        Ok((Self { messages, outage, shortage }, Owner::new(outside, policy)?, incoming))
    }

    /// Why new tasks are refused at the moment, if they are.
    #[must_use]
    pub fn shortage(&self) -> Option<Arc<str>> {
        self.shortage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has new tasks refused for this reason; none: has them taken.
    pub fn set_shortage(&self, reason: Option<Arc<str>>) {
        *self.shortage.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// Carries out a command; answers when it is on disk.
    pub async fn apply(
        &self,
        actor: &Arc<str>,
        command: Command,
        key: Option<RequestKey>,
    ) -> Result<Reply, Refusal> {
        self.send(actor, command, key, None).await
    }

    /// Hands a command over at once, in the order of the calls; the answer
    /// comes when it is on disk.
    pub fn submit(
        &self,
        actor: &Arc<str>,
        command: Command,
    ) -> impl Future<Output = Result<Reply, Refusal>> + Send + use<> {
        let answer = self.post(actor, command, None, None);
        async move { answer?.await.map_err(|_| stopped())? }
    }

    /// Opens an agent's link.
    pub async fn connect(
        &self,
        actor: &Arc<str>,
        command: Command,
        link: LinkId,
        sender: LinkSender,
    ) -> Result<Reply, Refusal> {
        self.send(actor, command, None, Some((link, sender))).await
    }

    /// Asks the live state something. The answer may be ahead of the disk.
    pub async fn query<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Query(Box::new(move |state| {
            // Whoever asked may have left.
            let _ = reply.send(question(state));
        }));
        self.messages.send(message).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    /// Why changes are refused at the moment, if they are.
    #[must_use]
    pub fn outage(&self) -> Option<Arc<str>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the output of deleted executions is gone.
    pub fn garbage_collected(&self, executions: Vec<ExecutionId>) {
        // After a stop it is found again at the next start.
        let _ = self.messages.send(Message::GarbageCollected(executions));
    }

    async fn send(
        &self,
        actor: &Arc<str>,
        command: Command,
        key: Option<RequestKey>,
        link: Option<(LinkId, LinkSender)>,
    ) -> Result<Reply, Refusal> {
        self.post(actor, command, key, link)?.await.map_err(|_| stopped())?
    }

    fn post(
        &self,
        actor: &Arc<str>,
        command: Command,
        key: Option<RequestKey>,
        link: Option<(LinkId, LinkSender)>,
    ) -> Result<oneshot::Receiver<Result<Reply, Refusal>>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let request = Request { actor: Arc::clone(actor), command, key, link, reply };
        self.messages.send(Message::Apply(Box::new(request))).map_err(|_| stopped())?;
        Ok(answer)
    }
}

impl Drop for EngineThread {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apply(_) => "Apply",
            Self::Query(_) => "Query",
            Self::Committed(_) => "Committed",
            Self::GarbageCollected(_) => "GarbageCollected",
            Self::Stop => "Stop",
        })
    }
}

fn stopped() -> Refusal {
    Refusal::Unavailable("the server is stopping".into())
}
