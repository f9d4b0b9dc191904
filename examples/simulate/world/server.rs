//! The server: the real engine and the real store, and a disk that is slow,
//! full, or fails once.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use scitq::api::event::Event;
use scitq::domain::{Clock, ExecutionId, StoreId, TaskId, TokenId};
use scitq::server::Policy;
use scitq::server::engine::service::{Audience, Engine};
use scitq::server::engine::stepped::SteppedEngine;
use scitq::server::engine::{Refusal, Reply, State};
use scitq::server::store::{CommitError, CommitJob, SteppedWriter, Store};

use std::collections::BTreeMap;

use super::calendar::{ConnectionNumber, Happening, MILLISECOND, Moment, SECOND};
use super::clock::MachineClock;
use super::life::World;
use super::output::OutputDisk;
use super::session::Session;

/// Something that will be answered.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The server's machine.
#[derive(Debug)]
pub struct Server {
    pub database: PathBuf,
    pub clock: MachineClock,
    /// Counts the processes.
    pub life: u64,
    pub process: Option<Process>,
    pub output: OutputDisk,
    /// The process stands still until then.
    pub stopped_until: Moment,
    pub full_until: Moment,
    pub slow_until: Moment,
    pub fails_once: bool,
    pub loses_replies_until: Moment,
    turn_is_due: bool,
}

/// One process.
pub struct Process {
    pub engine: Engine,
    pub stepped: SteppedEngine,
    pub writer: SteppedWriter,
    pub store: Arc<Store>,
    /// The commit under way.
    job: Option<CommitJob>,
    pub next_link: u64,
    pub sessions: BTreeMap<ConnectionNumber, Session>,
    /// Requests of people that wait for the disk.
    pub replies: Vec<(usize, Pending<Result<Reply, Refusal>>)>,
    told: Arc<Told>,
}

/// What the engine tells the rest of the server.
#[derive(Debug, Default)]
struct Told {
    fatal: Mutex<Option<String>>,
    garbage: Mutex<Vec<ExecutionId>>,
}

/// What is ready at once, without a runtime.
pub fn poll<T>(pending: &mut Pending<T>) -> Option<T> {
    match pending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

impl Server {
    pub fn new(database: PathBuf, clock: MachineClock) -> Self {
        Self {
            database,
            clock,
            life: 0,
            process: None,
            output: OutputDisk::default(),
            stopped_until: 0,
            full_until: 0,
            slow_until: 0,
            fails_once: false,
            loses_replies_until: 0,
            turn_is_due: false,
        }
    }

    pub fn is_full(&self, now: Moment) -> bool {
        self.full_until > now
    }

    pub fn answers(&self, now: Moment) -> bool {
        self.process.is_some() && self.stopped_until <= now
    }
}

impl World {
    pub fn start_server(&mut self) {
        let server = &mut self.server;
        server.life += 1;
        server.turn_is_due = false;
        let policy = Policy {
            lost_after: Some(Duration::from_secs(self.plan.lost_after)),
            ..Policy::default()
        };
        let told = Arc::new(Told::default());
        let opened = Store::open_stepped(&server.database, &StoreId("simulated".to_owned()));
        let started = opened.and_then(|(store, writer, stepped_writer)| {
            let store = Arc::new(store);
            let (engine, stepped) = SteppedEngine::start(
                Arc::clone(&store),
                writer,
                Arc::new(server.clock.clone()),
                Arc::clone(&told) as Arc<dyn Audience>,
                policy,
            )?;
            Ok((store, engine, stepped, stepped_writer))
        });
        match started {
            Ok((store, engine, stepped, writer)) => {
                server.process = Some(Process {
                    engine,
                    stepped,
                    writer,
                    store,
                    job: None,
                    next_link: 1,
                    sessions: BTreeMap::new(),
                    replies: Vec::new(),
                    told,
                });
            }
            Err(error) => return self.breaks(format!("the server does not start: {error}")),
        }
        let life = self.server.life;
        self.tell("server", format_args!("starts (process {life})"));
        self.look_at_engine();
        self.calendar.enter(self.now + SECOND, Happening::ServerTick { life });
    }

    /// The process dies. What was being committed may or may not be on disk.
    pub fn kill_server(&mut self) {
        let Some(process) = self.server.process.take() else { return };
        let Process { engine, stepped, mut writer, job, sessions, replies, .. } = process;
        let connections: Vec<ConnectionNumber> = sessions.keys().copied().collect();
        drop((sessions, replies, engine));
        let mut fate = "nothing was being committed";
        if let Some(job) = job {
            fate = "the commit under way is not on disk";
            if !self.server.is_full(self.now) && self.chance.one_in(2) {
                fate = "the commit under way is on disk, and nobody was told";
                writer.carry_out(job);
            }
        }
        drop((stepped, writer));
        self.server.output.forget_unsynced();
        for connection in connections {
            self.close_at_server(connection);
        }
        self.tell("server", format_args!("dies; {fate}"));
    }

    /// The engine has something to do soon.
    pub fn wake_engine(&mut self) {
        if !self.server.turn_is_due && self.server.process.is_some() {
            self.server.turn_is_due = true;
            let at = self.now + self.chance.spread(20, 2 * MILLISECOND);
            self.calendar.enter(at, Happening::ServerTurn { life: self.server.life });
        }
    }

    pub fn on_server_turn(&mut self) {
        self.server.turn_is_due = false;
        self.turn_engine();
    }

    pub fn on_server_tick(&mut self) {
        let life = self.server.life;
        self.calendar.enter(self.now + SECOND, Happening::ServerTick { life });
        self.turn_engine();
    }

    fn turn_engine(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        process.stepped.turn();
        self.look_at_engine();
        self.start_commit();
        self.pump_server();
    }

    fn start_commit(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        if process.job.is_some() {
            return;
        }
        let Some(job) = process.writer.next_job() else { return };
        process.job = Some(job);
        let is_slow = self.server.slow_until > self.now;
        let time = if is_slow {
            self.chance.spread(50 * MILLISECOND, 20 * SECOND)
        } else {
            self.chance.spread(MILLISECOND / 5, 10 * MILLISECOND)
        };
        self.calendar.enter(self.now + time, Happening::CommitEnds { life: self.server.life });
    }

    pub fn on_commit_ends(&mut self) {
        let is_full = self.server.is_full(self.now);
        let Some(process) = &mut self.server.process else { return };
        let Some(job) = process.job.take() else { return };
        if is_full || self.server.fails_once {
            self.server.fails_once = false;
            (job.then)(Err(CommitError::Full));
            self.tell("server", format_args!("a commit fails: the disk is full"));
        } else {
            let shown = shown_changes(&job);
            process.writer.carry_out(job);
            if let Some(shown) = shown {
                self.tell("server", format_args!("committed {shown}"));
            }
        }
        self.pump_server();
        self.wake_engine();
    }

    /// The invariants hold, and what the engine decided is noted.
    pub fn look_at_engine(&mut self) {
        let Some(process) = &self.server.process else { return };
        let state = process.stepped.state();
        let violations = state.violations();
        let now = self.server.clock.now().monotonic;
        // A count of microseconds that is short enough for any drift.
        let awake = self.now.saturating_sub(self.server.stopped_until) / 100 * 101;
        let clocks = (now, Duration::from_micros(awake));
        let notes = self.rules.note_engine(self.now, clocks, state);
        let fatal = process.told.fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(violation) = violations.first() {
            self.breaks(format!("an invariant of the engine: {violation}"));
        }
        if let Some(reason) = fatal {
            self.breaks(format!("the server gives up: {reason}"));
        }
        for note in notes {
            self.tell("server", format_args!("{note}"));
        }
    }

    /// Passes on what has been committed.
    fn pump_server(&mut self) {
        let connections: Vec<ConnectionNumber> = match &mut self.server.process {
            Some(process) => {
                let garbage = std::mem::take(
                    &mut *process.told.garbage.lock().unwrap_or_else(PoisonError::into_inner),
                );
                if !garbage.is_empty() {
                    process.engine.garbage_collected(garbage);
                }
                process.sessions.keys().copied().collect()
            }
            None => return,
        };
        for connection in connections {
            self.pump_session(connection);
        }
        let Some(process) = &mut self.server.process else { return };
        let mut ready = Vec::new();
        process.replies.retain_mut(|(request, pending)| match poll(pending) {
            Some(reply) => {
                ready.push((*request, reply));
                false
            }
            None => true,
        });
        for (request, reply) in ready {
            self.send_reply(request, reply);
        }
    }

    pub fn engine_state(&self) -> Option<&State> {
        self.server.process.as_ref().map(|process| process.stepped.state())
    }
}

/// What a commit has in it, in short. None: nothing to tell.
fn shown_changes(job: &CommitJob) -> Option<String> {
    let changes = &job.changes;
    let mut tasks: Vec<_> = changes.tasks.iter().collect();
    tasks.sort_by_key(|(id, _)| **id);
    let mut executions: Vec<_> = changes.executions.iter().collect();
    executions.sort_by_key(|(id, _)| **id);
    let tasks = tasks.iter().map(|(id, row)| format!("t{id} {}", row.state));
    let executions = executions.iter().map(|(id, row)| match row.ending {
        Some(ending) => format!("e{id} {} ({ending})", row.state),
        None => format!("e{id} {}", row.state),
    });
    let all: Vec<String> = tasks.chain(executions).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

impl Audience for Told {
    fn publish(&self, _: Vec<Event>) {}

    fn ended(&self, _: &[TaskId]) {}

    fn output_complete(&self, _: &[ExecutionId]) {}

    fn tokens_revoked(&self, _: &[TokenId]) {}

    fn output_garbage(&self, executions: Vec<ExecutionId>) {
        self.garbage.lock().unwrap_or_else(PoisonError::into_inner).extend(executions);
    }

    fn fatal(&self, reason: &str) {
        let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.get_or_insert_with(|| reason.to_owned());
    }
}
