//! The server's end of an old worker's link.
//!
//! An old worker opens no connection that stays: it asks every four seconds. What
//! the engine tells it is put down here until it asks for its signals, and what it
//! reports goes to the engine in the words of an agent. A worker that is silent
//! loses its session, as an agent loses its link.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::mpsc;

use crate::api::link::{Report, ReportEvent, Verdict};
use crate::api::worker::Clean;
use crate::domain::execution::{ExecutionState, FailureClass, Outcome, OutputSizes, Suspension};
use crate::domain::signal::Signal;
use crate::domain::worker::{Protocol, WorkerStats};
use crate::domain::{ExecutionId, Monotonic, TaskId, Timestamp, WorkerId};

use super::super::engine::command::{Command, Pulse, Received, Reply};
use super::super::engine::service::LinkMessage;
use super::super::engine::state::LinkId;
use super::super::engine::{Refusal, State};
use super::super::http::App;
use super::V1;
use super::batches::{CONT, KILL, QUIT, TERM, TSTP};
use super::error::{V1Error, V1Result};

/// Orders to the worker itself.
pub(super) const CLEAN_TASKS: i64 = -1;
pub(super) const RESTART: i64 = -2;
pub(super) const CLEAN_RESOURCES: i64 = -3;

/// How long a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// The sessions of all workers that speak.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    live: Mutex<FxHashMap<WorkerId, Arc<Session>>>,
    /// One worker is attached at a time: two requests make no two links.
    attaching: tokio::sync::Mutex<()>,
}

/// One worker that speaks.
#[derive(Debug)]
pub(super) struct Session {
    pub worker: WorkerId,
    pub link: LinkId,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    heard: Monotonic,
    letters: Vec<Letter>,
    /// Executions that were told to end since they had passed their limit.
    timed_out: FxHashSet<ExecutionId>,
}

/// A signal that the worker has not asked for yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Letter {
    /// None: for the worker itself.
    pub execution: Option<ExecutionId>,
    pub signal: i64,
    /// Not to be told before.
    due: Monotonic,
}

/// What the engine knows of an execution that has not ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    pub worker: WorkerId,
    pub task: TaskId,
    pub state: ExecutionState,
    pub revision: u32,
    pub protocol: Protocol,
    /// It shall not go on.
    pub suspended: bool,
}

/// Whether a report is the last one of its execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IsLast {
    Yes,
    No,
}

impl Sessions {
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().map(Arc::clone).collect()
    }

    pub fn find(&self, worker: WorkerId) -> Option<Arc<Session>> {
        self.lock().get(&worker).map(Arc::clone)
    }

    /// Ends a session, unless it has been replaced.
    pub fn end(&self, worker: WorkerId, link: LinkId) {
        let mut live = self.lock();
        if live.get(&worker).is_some_and(|session| session.link == link) {
            live.remove(&worker);
        }
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<WorkerId, Arc<Session>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub fn hear(&self, now: Monotonic) {
        self.lock().heard = now;
    }

    pub fn silent_for(&self, now: Monotonic) -> Duration {
        now.since(self.lock().heard)
    }

    /// Puts a signal down, if the same one is not waiting already.
    pub fn post(&self, execution: Option<ExecutionId>, signal: i64, due: Monotonic) {
        let mut inner = self.lock();
        let is_there = inner
            .letters
            .iter()
            .any(|letter| letter.execution == execution && letter.signal == signal);
        if !is_there {
            inner.letters.push(Letter { execution, signal, due });
        }
    }

    /// The signals that are due, each once.
    pub fn collect(&self, now: Monotonic) -> Vec<Letter> {
        let mut inner = self.lock();
        let (due, later) = inner.letters.iter().copied().partition(|letter| letter.due <= now);
        inner.letters = later;
        due
    }

    /// Notes that an execution has passed its limit; false if that was known.
    pub fn note_timeout(&self, execution: ExecutionId) -> bool {
        self.lock().timed_out.insert(execution)
    }

    /// Forgets an execution; true if it had passed its limit.
    pub fn forget(&self, execution: ExecutionId) -> bool {
        let mut inner = self.lock();
        inner.letters.retain(|letter| letter.execution != Some(execution));
        inner.timed_out.remove(&execution)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session of a worker that has just spoken.
///
/// # Errors
/// There is no such worker, or it is one of ours, which speaks for itself.
pub(super) async fn of(
    app: &Arc<App>,
    actor: &Arc<str>,
    worker: WorkerId,
) -> V1Result<Arc<Session>> {
    let v1 = served(app)?;
    if let Some(session) = v1.sessions.find(worker) {
        session.hear(app.clock.now().monotonic);
        return Ok(session);
    }
    let _guard = v1.sessions.attaching.lock().await;
    if let Some(session) = v1.sessions.find(worker) {
        return Ok(session);
    }
    let protocol = app
        .engine
        .query(move |state| state.workers.get(&worker).map(|worker| worker.machine.protocol))
        .await?;
    match protocol {
        None => return Err(Refusal::NoWorker(worker).into()),
        Some(Protocol::Link) => {
            return Err(V1Error::conflict(format!(
                "worker {worker} is an agent of this version, which speaks for itself"
            )));
        }
        Some(Protocol::Rest) => {}
    }
    let link = app.next_link_id();
    let (sender, orders) = mpsc::unbounded_channel();
    app.engine.connect(actor, Command::Attach { worker, link }, link, sender).await?;
    let inner = Inner {
        heard: app.clock.now().monotonic,
        letters: Vec::new(),
        timed_out: FxHashSet::default(),
    };
    let session = Arc::new(Session { worker, link, inner: Mutex::new(inner) });
    v1.sessions.lock().insert(worker, Arc::clone(&session));
    tracing::info!(%worker, "a worker of scitq 1 speaks");
    tokio::spawn(listen(Arc::clone(app), Arc::clone(&session), orders));
    Ok(session)
}

/// Tells the engine that a worker lives, and how it is.
pub(super) async fn heartbeat(
    app: &Arc<App>,
    actor: &Arc<str>,
    worker: WorkerId,
    stats: WorkerStats,
) -> V1Result<()> {
    let pulse = Pulse { stats, lease: Protocol::Rest.lease(), ..Pulse::default() };
    let command = |link| Command::Heartbeat { worker, link, pulse: pulse.clone() };
    speak(app, actor, worker, command).await.map(drop)
}

/// Reports of an execution as its agent would; what becomes of it is the verdict.
pub(super) async fn report(
    app: &Arc<App>,
    actor: &Arc<str>,
    (id, live): (ExecutionId, Live),
    event: ReportEvent,
) -> V1Result<Verdict> {
    let is_last = match event {
        ReportEvent::Finished { .. } => IsLast::Yes,
        _ => IsLast::No,
    };
    let output = output_of(app, id, is_last).await?;
    let at = app.clock.now().wall;
    let command = |link| Command::Report {
        worker: live.worker,
        link,
        reports: vec![received((id, live), at, event.clone(), output)],
    };
    let reply = speak(app, actor, live.worker, command).await?;
    if is_last == IsLast::Yes
        && let Some(session) = served(app)?.sessions.find(live.worker)
    {
        session.forget(id);
    }
    match reply {
        Reply::Reported(verdicts) => {
            Ok(verdicts.first().map_or(Verdict::Keep, |(_, verdict)| *verdict))
        }
        other => Err(super::tasks::unexpected(&other)),
    }
}

/// How much output there is; of one that ends, once all of it is on the disk, since
/// an end that is recorded promises complete output.
async fn output_of(app: &App, id: ExecutionId, is_last: IsLast) -> V1Result<OutputSizes> {
    if is_last == IsLast::No {
        return Ok(OutputSizes::default());
    }
    app.output.sync_all(vec![id]).await?;
    Ok(app.output.sizes(id).await?)
}

fn received(
    (execution, live): (ExecutionId, Live),
    at: Timestamp,
    event: ReportEvent,
    output: OutputSizes,
) -> Received {
    let Live { task, revision, .. } = live;
    Received { report: Report { execution, task, revision, at, event }, output }
}

/// The end of an execution whose command was not run.
pub(super) fn without_run(class: FailureClass, reason: &str) -> ReportEvent {
    ReportEvent::Finished {
        outcome: Outcome::without_run(class, reason),
        output: OutputSizes::default(),
        ended_at: None,
        cached: None,
    }
}

/// Says something on a worker's link, on a new one if the link was replaced.
pub(super) async fn speak(
    app: &Arc<App>,
    actor: &Arc<str>,
    worker: WorkerId,
    command: impl Fn(LinkId) -> Command,
) -> V1Result<Reply> {
    let session = of(app, actor, worker).await?;
    match app.engine.apply(actor, command(session.link), None).await {
        Err(Refusal::StaleLink) => {
            served(app)?.sessions.end(worker, session.link);
            let session = of(app, actor, worker).await?;
            Ok(app.engine.apply(actor, command(session.link), None).await?)
        }
        other => Ok(other?),
    }
}

pub(super) fn served(app: &App) -> V1Result<&V1> {
    app.v1.as_ref().ok_or(V1Error::HangUp)
}

/// What the engine knows of an execution, if it lives.
pub(super) async fn live(app: &App, id: ExecutionId) -> V1Result<Option<Live>> {
    Ok(app.engine.query(move |state| live_in(state, id)).await?)
}

pub(super) fn live_in(state: &State, id: ExecutionId) -> Option<Live> {
    let execution = state.executions.get(&id)?;
    let worker = state.workers.get(&execution.worker)?;
    Some(Live {
        worker: execution.worker,
        task: execution.row.task,
        state: execution.row.state,
        revision: execution.row.revision,
        protocol: worker.machine.protocol,
        suspended: state.suspension_of(id) != Suspension::No,
    })
}

/// Takes down what the engine tells a worker, until its link ends.
async fn listen(
    app: Arc<App>,
    session: Arc<Session>,
    mut orders: mpsc::UnboundedReceiver<LinkMessage>,
) {
    loop {
        let message = tokio::select! {
            message = orders.recv() => message,
            () = app.stop_asked() => break,
        };
        match message {
            None | Some(LinkMessage::Close) => break,
            Some(message) => on_message(&app, &session, message).await,
        }
    }
    if let Some(v1) = &app.v1 {
        v1.sessions.end(session.worker, session.link);
    }
}

async fn on_message(app: &Arc<App>, session: &Session, message: LinkMessage) {
    let now = app.clock.now().monotonic;
    match message {
        LinkMessage::Order { execution, verdict } => {
            on_order(app, session, execution, verdict).await;
        }
        LinkMessage::Suspend { execution, suspension } => {
            // What has not begun is held back by the fence in front of its start.
            let signal = if suspension == Suspension::Run { TSTP } else { CONT };
            if is_running(app, execution).await {
                session.post(Some(execution), signal, now);
            }
        }
        LinkMessage::Signal { execution, signal } => {
            session.post(Some(execution), number(signal), now);
        }
        LinkMessage::Clean { what: Clean::Tasks } => session.post(None, CLEAN_TASKS, now),
        LinkMessage::Clean { what: Clean::Resources } => session.post(None, CLEAN_RESOURCES, now),
        LinkMessage::Restart => session.post(None, RESTART, now),
        // It asks for its tasks, its settings and their specifications itself, and
        // is never asked for files, since it keeps none.
        LinkMessage::Resend(_)
        | LinkMessage::Start { .. }
        | LinkMessage::Settings { .. }
        | LinkMessage::Edit { .. }
        | LinkMessage::Adopt { .. }
        | LinkMessage::Abandon { .. }
        | LinkMessage::Close => {}
    }
}

async fn on_order(app: &Arc<App>, session: &Session, id: ExecutionId, verdict: Verdict) {
    let Ok(Some(live)) = live(app, id).await else { return };
    let now = app.clock.now().monotonic;
    if live.state == ExecutionState::Accepted {
        // It never begins: the fence does not let it. The worker finds out when it
        // does not see the execution in its list any more.
        let class = match verdict {
            Verdict::Cancelled | Verdict::Killed => FailureClass::Cancelled,
            Verdict::GiveBack => FailureClass::Refused,
            _ => return,
        };
        let end = without_run(class, "ended before its command was started");
        let report = received((id, live), app.clock.now().wall, end, OutputSizes::default());
        let (worker, link) = (live.worker, session.link);
        let command = Command::Report { worker, link, reports: vec![report] };
        // During an outage it is told again once the worker speaks.
        let _ = app.engine.apply(&"server".into(), command, None).await;
        return;
    }
    match verdict {
        Verdict::Cancelled => {
            session.post(Some(id), TERM, now);
            session.post(Some(id), KILL, now.after(GRACE));
        }
        Verdict::Killed => session.post(Some(id), KILL, now),
        _ => {}
    }
}

async fn is_running(app: &App, id: ExecutionId) -> bool {
    let found = live(app, id).await.ok().flatten();
    found.is_some_and(|live| live.state == ExecutionState::Running)
}

/// The number of a signal on Linux.
const fn number(signal: Signal) -> i64 {
    match signal {
        Signal::Hup => 1,
        Signal::Int => 2,
        Signal::Quit => QUIT,
        Signal::Abrt => 6,
        Signal::Kill => KILL,
        Signal::Usr1 => 10,
        Signal::Usr2 => 12,
        Signal::Alrm => 14,
        Signal::Term => TERM,
        Signal::Cont => CONT,
        Signal::Stop => 19,
        Signal::Tstp => TSTP,
        Signal::Winch => 28,
    }
}

/// The signal that old clients mean by a number.
pub(super) fn signal_of(sent: i64) -> Option<Signal> {
    use strum::IntoEnumIterator;
    if sent == QUIT {
        return Some(Signal::Term);
    }
    Signal::iter().find(|signal| number(*signal) == sent)
}
