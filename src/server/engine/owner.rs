//! The engine's thread: the loop that alone owns the [`State`].

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::domain::time::Clock;
use crate::domain::{BatchId, ExecutionId, Monotonic, TaskId, Timestamp, WorkerId};

use super::super::store::{
    CommitError, CommitJob, EngineReader, Origin, Store, StoreError, Writer,
};
use super::change::ReplyRow;
use super::hiring::HiringCommand;
use super::service::{Audience, LinkMessage, LinkSender, Message, Request, RequestKey};
use super::state::{LinkId, Policy};
use super::waiting::{JobsChanged, Waiting, WaitingStart};
use super::{ChangeSet, Command, Context, Effect, Refusal, Reply, State};

/// Time between two looks at the leases.
const TICK: Duration = Duration::from_secs(1);
/// A tick that is later than this shows that the process stood still, in which
/// time nobody could be heard.
const STOOD_STILL: Duration = Duration::from_secs(5);
/// Old replies are forgotten once in so many ticks.
const FORGET_REPLIES_EVERY: u32 = 600;
/// Commands that are applied before the writer is looked at again.
const MOST_AT_ONCE: usize = 4096;
/// Specs of new tasks that are kept in memory until they are assigned.
const KEPT_SPECS: usize = 16_384;

/// Request hash and reply by key.
type RecentReplies = FxHashMap<Arc<str>, ([u8; 32], Reply)>;

/// What the owner reaches outside of its thread.
pub(super) struct Outside {
    pub store: Arc<Store>,
    pub reader: EngineReader,
    pub writer: Writer,
    pub clock: Arc<dyn Clock>,
    pub audience: Arc<dyn Audience>,
    pub messages: Sender<Message>,
    pub outage: Arc<Mutex<Option<Arc<str>>>>,
    /// Why new tasks are refused, if they are.
    pub shortage: Arc<Mutex<Option<Arc<str>>>>,
}

/// The owner of the live state.
pub(super) struct Owner {
    pub(super) state: State,
    pub(super) outside: Outside,
    links: FxHashMap<WorkerId, (LinkId, LinkSender)>,
    specs: FxHashMap<TaskId, Arc<str>>,
    /// What the next commit writes.
    pub(super) open: ChangeSet,
    waiting: Waiting,
    /// The writer is at work.
    committing: bool,
    /// Tasks that may be evicted once the commit under way is done.
    evictable: Vec<TaskId>,
    /// Tasks whose deletion is in the commit under way.
    pub(super) deleting: FxHashSet<TaskId>,
    /// Replies of the open set, which are not on disk yet.
    open_replies: RecentReplies,
    /// Replies of the commit under way.
    committing_replies: RecentReplies,
    ticks: u32,
    /// The time limits of commands whose workers are silent, seconds.
    pub(super) run_limits: FxHashMap<ExecutionId, Option<u32>>,
    next_tick: Monotonic,
    stopping: bool,
}

impl Owner {
    /// Loads the state.
    pub fn new(outside: Outside, policy: Policy) -> Result<Self, StoreError> {
        let now = outside.clock.now();
        let mut state = outside.store.load(policy, now)?;
        if outside.store.origin() == Origin::Copy {
            state.settle(now.monotonic);
        }
        Ok(Self {
            state,
            outside,
            links: FxHashMap::default(),
            specs: FxHashMap::default(),
            open: ChangeSet::default(),
            waiting: Waiting::default(),
            committing: false,
            evictable: Vec::new(),
            deleting: FxHashSet::default(),
            open_replies: RecentReplies::default(),
            committing_replies: RecentReplies::default(),
            ticks: 0,
            run_limits: FxHashMap::default(),
            next_tick: now.monotonic.after(TICK),
            stopping: false,
        })
    }

    pub fn run(mut self, incoming: &Receiver<Message>) {
        loop {
            let wait = self.next_tick.since(self.outside.clock.now().monotonic);
            let first = match incoming.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.turn(first, incoming);
            if self.stopping && !self.committing && self.nothing_open() {
                break;
            }
        }
    }

    /// Handles what has come, looks at the clock, and hands over what is to be
    /// stored.
    pub fn turn(&mut self, first: Option<Message>, incoming: &Receiver<Message>) {
        let others = std::iter::from_fn(|| incoming.try_recv().ok()).take(MOST_AT_ONCE);
        for message in first.into_iter().chain(others) {
            self.on_message(message);
        }
        let now = self.outside.clock.now().monotonic;
        if now >= self.next_tick {
            if now.since(self.next_tick) > STOOD_STILL {
                tracing::warn!("the server stood still: workers get their time anew");
                self.state.restart_leases(now);
            }
            self.next_tick = now.after(TICK);
            self.on_tick();
        }
        if self.state.hiring.wants_to_decide() && self.current_outage().is_none() {
            let server: Arc<str> = "recruiter".into();
            // A decision refuses nothing.
            let _ = self.apply(&server, Command::Hiring(HiringCommand::Decide), None);
        }
        self.hand_over();
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Apply(request) => self.on_request(*request),
            Message::Query(question) => question(&self.state),
            Message::Committed(outcome) => self.on_committed(outcome),
            Message::GarbageCollected(executions) => self.open.collected_garbage.extend(executions),
            Message::Stop => self.stopping = true,
        }
    }

    fn on_request(&mut self, request: Request) {
        let Request { actor, command, key, link, reply } = request;
        if let Some(reason) = self.current_outage() {
            let _ = reply.send(Err(Refusal::Unavailable(reason)));
            return;
        }
        let outcome = match self.repeated(key.as_ref()) {
            Ok(Some(repeated)) => Ok(repeated),
            Ok(None) => self.check_room(&command).and_then(|()| self.apply(&actor, command, link)),
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(done) => {
                if let Some(key) = key {
                    self.remember(key, &done);
                }
                self.waiting.replies.push((reply, done));
            }
            // A refusal changes nothing, so it need not wait for the disk.
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
            }
        }
    }

    pub(super) fn apply(
        &mut self,
        actor: &Arc<str>,
        mut command: Command,
        link: Option<(LinkId, LinkSender)>,
    ) -> Result<Reply, Refusal> {
        self.recall(&mut command)?;
        let mut effects = Vec::new();
        let mut context = Context {
            now: self.outside.clock.now(),
            actor,
            changes: &mut self.open,
            effects: &mut effects,
        };
        let disconnected = match &command {
            Command::Disconnect { worker, link } => Some((*worker, *link)),
            _ => None,
        };
        let known_tasks = context.changes.new_tasks.len();
        let respecified: Vec<TaskId> = match &command {
            Command::EditTasks { edits, .. } => edits.iter().map(|edit| edit.id).collect(),
            Command::MoveTasks { tasks, .. } => tasks.clone(),
            _ => Vec::new(),
        };
        let reply = self.state.apply(&mut context, command)?;
        match (&reply, link) {
            (Reply::Connected(connected), Some(link)) => {
                self.links.insert(connected.worker, link);
            }
            (Reply::Worker(worker), Some(link)) => {
                self.links.insert(*worker, link);
            }
            _ => {}
        }
        if let Some((worker, link)) = disconnected
            && self.links.get(&worker).is_some_and(|(current, _)| *current == link)
        {
            self.links.remove(&worker);
        }
        for task in respecified {
            self.specs.remove(&task);
        }
        self.keep_specs(known_tasks);
        self.gather(effects);
        Ok(reply)
    }

    /// What was answered to this request when it came before.
    fn repeated(&self, key: Option<&RequestKey>) -> Result<Option<Reply>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        let recent = self.open_replies.get(&key.key);
        if let Some((hash, reply)) = recent.or_else(|| self.committing_replies.get(&key.key)) {
            return if *hash == key.request_hash {
                Ok(Some(reply.clone()))
            } else {
                Err(Refusal::KeyReused)
            };
        }
        let stored = self.outside.reader.find_reply(&key.key).map_err(|error| {
            tracing::error!(%error, "cannot read a stored reply");
            Refusal::Unavailable(error.to_string().into())
        })?;
        match stored {
            None => Ok(None),
            Some(stored) if stored.request_hash == key.request_hash => {
                serde_json::from_str(&stored.reply).map(Some).map_err(|error| {
                    tracing::error!(%error, "cannot understand a stored reply");
                    Refusal::Unavailable("a stored reply cannot be read".into())
                })
            }
            Some(_) => Err(Refusal::KeyReused),
        }
    }

    fn remember(&mut self, key: RequestKey, reply: &Reply) {
        if self.open_replies.contains_key(&key.key) {
            return;
        }
        let Ok(text) = serde_json::to_string(reply) else { return };
        self.open_replies.insert(Arc::clone(&key.key), (key.request_hash, reply.clone()));
        self.open.replies.push(ReplyRow {
            at: self.outside.clock.now().wall,
            key: key.key,
            request_hash: key.request_hash,
            reply: text,
        });
    }

    /// Keeps the specs of tasks that have just been made at hand: most are
    /// assigned soon, the oldest first.
    fn keep_specs(&mut self, known: usize) {
        for row in self.open.new_tasks.iter().skip(known) {
            if self.specs.len() >= KEPT_SPECS {
                break;
            }
            self.specs.insert(row.id, Arc::clone(&row.spec));
        }
    }

    /// Turns effects into what waits for the commit.
    fn gather(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start { worker, execution, task, attempt, revision } => {
                    let Some((_, sender)) = self.links.get(&worker) else { continue };
                    let sender = sender.clone();
                    if let Some(spec) = self.specs.remove(&task) {
                        let message =
                            LinkMessage::Start { execution, task, attempt, revision, spec };
                        self.waiting.orders.push((sender, message));
                    } else {
                        let start = WaitingStart { sender, execution, task, attempt, revision };
                        self.waiting.starts.push(start);
                    }
                }
                Effect::Order { worker, execution, verdict } => {
                    self.order(worker, LinkMessage::Order { execution, verdict });
                }
                Effect::Settings { worker, settings, wanted, lost_after_seconds } => {
                    self.order(
                        worker,
                        LinkMessage::Settings { settings, wanted, lost_after_seconds },
                    );
                }
                Effect::Suspend { worker, execution, suspension } => {
                    self.order(worker, LinkMessage::Suspend { execution, suspension });
                }
                Effect::Signal { worker, execution, signal } => {
                    self.order(worker, LinkMessage::Signal { execution, signal });
                }
                Effect::Edit { worker, execution, task, revision } => {
                    if let Some((_, sender)) = self.links.get(&worker) {
                        self.waiting.edits.push((sender.clone(), execution, task, revision));
                    }
                }
                Effect::Resend { worker, execution, row } => {
                    if let Some((_, sender)) = self.links.get(&worker) {
                        self.waiting.resends.push((sender.clone(), execution, *row));
                    }
                }
                Effect::Adopt { worker, executions } => {
                    self.order(worker, LinkMessage::Adopt { executions });
                }
                Effect::Abandon { worker, executions } => {
                    self.order(worker, LinkMessage::Abandon { executions });
                }
                Effect::Clean { worker, what } => self.order(worker, LinkMessage::Clean { what }),
                Effect::RestartAgent { worker } => self.order(worker, LinkMessage::Restart),
                Effect::CloseLink { worker } => {
                    self.order(worker, LinkMessage::Close);
                    self.links.remove(&worker);
                }
                Effect::TokensRevoked(tokens) => self.waiting.revoked.extend(tokens),
                Effect::Publish(event) => self.waiting.events.push(event),
                Effect::Ended(task) => {
                    self.specs.remove(&task);
                    self.waiting.ended.push(task);
                }
                Effect::OutputComplete(execution) => self.waiting.complete.push(execution),
                Effect::Jobs => self.waiting.jobs = Some(JobsChanged),
            }
        }
    }

    fn order(&mut self, worker: WorkerId, message: LinkMessage) {
        if let Some((_, sender)) = self.links.get(&worker) {
            self.waiting.orders.push((sender.clone(), message));
        }
    }

    fn on_tick(&mut self) {
        if self.current_outage().is_some() {
            // One row shows whether the disk takes changes again.
            self.open.next_ids = Some(self.state.next);
            return;
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(FORGET_REPLIES_EVERY) {
            let now: Timestamp = self.outside.clock.now().wall;
            self.open.forget_replies_before = Some(self.state.forget_replies_before(now));
        }
        self.purge();
        let server: Arc<str> = "server".into();
        // A tick refuses nothing.
        let _ = self.apply(&server, Command::Tick, None);
        self.look_at_limits();
    }

    /// Has the next tasks of deleted batches taken off the disk.
    fn purge(&mut self) {
        self.open.purged_batches = self.state.batches_to_purge();
    }

    fn nothing_open(&self) -> bool {
        self.open.is_empty() && self.open.ended_tasks.is_empty() && self.waiting.is_empty()
    }

    /// Gives the open set to the writer, if it is free and there is something to give.
    fn hand_over(&mut self) {
        if self.committing || self.nothing_open() {
            return;
        }
        self.committing = true;
        self.state.complete(&mut self.open);
        let changes = std::mem::take(&mut self.open);
        let waiting = std::mem::take(&mut self.waiting);
        self.committing_replies = std::mem::take(&mut self.open_replies);
        self.evictable.extend_from_slice(&changes.ended_tasks);
        self.deleting = changes.deleted_tasks.iter().map(|deleted| deleted.id).collect();
        let (messages, audience) =
            (self.outside.messages.clone(), Arc::clone(&self.outside.audience));
        self.outside.writer.commit(CommitJob {
            changes,
            then: Box::new(move |outcome| {
                let outcome = match outcome {
                    Ok(done) => {
                        waiting.deliver(done, &*audience);
                        Ok(done.gone_batches.clone())
                    }
                    Err(error) => {
                        waiting.refuse(&error);
                        Err(error)
                    }
                };
                // The engine outlives its writer.
                let _ = messages.send(Message::Committed(outcome));
            }),
        });
    }

    fn on_committed(&mut self, outcome: Result<Vec<BatchId>, CommitError>) {
        self.committing = false;
        match outcome {
            Ok(gone_batches) => {
                for batch in gone_batches {
                    self.state.batches.remove(&batch);
                }
                self.purge();
                // What was changed again since stays until that is on disk too.
                let ready = self.evictable.extract_if(.., |id| !self.open.tasks.contains_key(id));
                for id in ready {
                    self.state.evict_task(id);
                }
                self.committing_replies.clear();
                self.deleting.clear();
                if self.set_outage(None) {
                    tracing::info!("changes are stored again");
                    self.state.restart_leases(self.outside.clock.now().monotonic);
                }
            }
            Err(CommitError::Fatal(reason)) => {
                self.set_outage(Some(Arc::clone(&reason)));
                self.start_over(&CommitError::Fatal(Arc::clone(&reason)));
                self.outside.audience.fatal(&reason);
            }
            Err(error) => {
                let reason: Arc<str> = error.to_string().into();
                if !self.set_outage(Some(Arc::clone(&reason))) {
                    tracing::error!(%reason, "changes cannot be stored; they are refused until one can");
                }
                self.start_over(&error);
                if let Err(error) = self.reload() {
                    self.outside.audience.fatal(&error.to_string());
                }
            }
        }
    }

    /// Drops all that is not on disk. Agents are cut off: when they come back,
    /// both sides compare what they hold.
    fn start_over(&mut self, error: &CommitError) {
        std::mem::take(&mut self.waiting).refuse(error);
        self.open = ChangeSet::default();
        self.open_replies.clear();
        self.committing_replies.clear();
        self.specs.clear();
        self.evictable.clear();
        self.deleting.clear();
        for (_, (_, sender)) in self.links.drain() {
            let _ = sender.send(LinkMessage::Close);
        }
    }

    fn reload(&mut self) -> Result<(), StoreError> {
        let settling = self.state.settling.take();
        let market = std::mem::take(&mut self.state.hiring.market);
        self.state =
            self.outside.store.load(self.state.policy.clone(), self.outside.clock.now())?;
        self.state.settling = settling;
        self.state.hiring.market = market;
        Ok(())
    }

    /// Refuses what only adds to a disk that is nearly full.
    fn check_room(&self, command: &Command) -> Result<(), Refusal> {
        if !matches!(command, Command::CreateTasks(_) | Command::ImportTasks(_)) {
            return Ok(());
        }
        let shortage = self.outside.shortage.lock().unwrap_or_else(PoisonError::into_inner);
        shortage.clone().map_or(Ok(()), |reason| Err(Refusal::NoRoom(reason)))
    }

    fn current_outage(&self) -> Option<Arc<str>> {
        self.outside.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes an outage or its end; true when there was one before.
    fn set_outage(&self, reason: Option<Arc<str>>) -> bool {
        let mut outage = self.outside.outage.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *outage, reason).is_some()
    }
}
