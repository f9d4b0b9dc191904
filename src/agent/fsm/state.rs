//! The state of an agent, and the entry for events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::api::link::{Down, Report, ReportEvent, Up};
use crate::domain::worker::{Machine, WantedState, WorkerSettings};
use crate::domain::{Epoch, ExecutionId, Monotonic, Now, StoreId, Timestamp};

use super::effect::Effect;
use super::event::Event;
use super::execution::{Execution, Stage, StopReason};
use super::lease::Lease;
use super::reports::Reports;
use super::slots::{Place, place};

/// How long reports wait for others where all slots are taken and as many
/// executions are ready for them: so short commands share the server's commits.
const GATHER: Duration = Duration::from_millis(10);

/// Waits that are settings.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For how long a failed upload is tried again.
    pub upload_patience: Duration,
    /// Time between asking a command to end and making it end.
    pub stop_grace: Duration,
    /// Time between asking a command to stand still and making it.
    pub suspend_grace: Duration,
    pub unasked_term: UnaskedTerm,
}

/// What it means that a command ended by a SIGTERM which the agent did not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnaskedTerm {
    /// The command, or a person on the machine, has sent it.
    #[default]
    TasksOwn,
    /// A batch system sends it to all processes of a job that it ends, so it may
    /// reach a command before the agent knows.
    EndOfJob,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload_patience: Duration::from_hours(24),
            stop_grace: Duration::from_secs(10),
            suspend_grace: Duration::from_secs(1),
            unasked_term: UnaskedTerm::default(),
        }
    }
}

/// All that an agent knows.
#[derive(Debug)]
pub struct AgentState {
    pub(super) limits: Limits,
    pub(super) machine: Machine,
    pub(super) executions: BTreeMap<ExecutionId, Execution>,
    /// Executions that wait for a slot and nothing else.
    pub(super) startable: BTreeSet<Place>,
    /// Slots that are held.
    pub(super) occupied: u32,
    /// Executions that are held back, of which the server has not said so
    /// again since its last welcome.
    pub(super) unconfirmed: BTreeSet<ExecutionId>,
    /// The deadlines of all executions, earliest first.
    pub(super) deadlines: BTreeSet<(Monotonic, ExecutionId)>,
    /// Executions in a phase that the server was not told.
    pub(super) untold_phases: BTreeSet<ExecutionId>,
    pub(super) settings: WorkerSettings,
    pub(super) wanted: WantedState,
    /// A person on this machine wants the agent to leave.
    pub(super) draining: bool,
    /// Why the provider takes the machine away, once it is known that it does.
    pub(super) evicted: Option<String>,
    pub(super) leaving: bool,
    pub(super) supervisor_is_up: bool,
    pub(super) link: Link,
    pub(super) lease: Lease,
    pub(super) reports: Reports,
    pub(super) heartbeats: VecDeque<(u64, Monotonic)>,
    pub(super) last_heartbeat: u64,
    /// The database that last welcomed the agent.
    pub(super) store: Option<(StoreId, Epoch)>,
}

/// The link to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Down,
    /// The hello was sent.
    Greeting {
        link: u64,
        since: Monotonic,
    },
    /// The server has welcomed the agent.
    Up {
        link: u64,
    },
}

/// One event's time and effects.
#[derive(Debug)]
pub struct Turn {
    pub now: Now,
    pub effects: Vec<Effect>,
}

impl Turn {
    pub fn wants(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

impl AgentState {
    /// An agent on this machine that holds nothing, with the settings that it
    /// has of its own.
    #[must_use]
    pub const fn new(
        limits: Limits,
        machine: Machine,
        settings: WorkerSettings,
        store: Option<(StoreId, Epoch)>,
    ) -> Self {
        Self {
            limits,
            machine,
            executions: BTreeMap::new(),
            startable: BTreeSet::new(),
            occupied: 0,
            unconfirmed: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            untold_phases: BTreeSet::new(),
            settings,
            wanted: WantedState::Running,
            draining: false,
            evicted: None,
            leaving: false,
            supervisor_is_up: false,
            link: Link::Down,
            lease: Lease::NONE,
            reports: Reports::new(),
            heartbeats: VecDeque::new(),
            last_heartbeat: 0,
            store,
        }
    }

    /// The one way from state to state.
    pub fn on(&mut self, now: Now, event: Event) -> Vec<Effect> {
        let mut turn = Turn { now, effects: Vec::new() };
        self.withdraw_leave(&mut turn);
        self.react(&mut turn, event);
        self.start_ready(&mut turn);
        self.leave_if_done(&mut turn);
        turn.effects
    }

    /// The reports that are ready, as one frame for the present link. Called
    /// when no event is left to react to.
    pub fn next_reports(&mut self, now: Now) -> Option<(u64, Up)> {
        let Link::Up { link } = self.link else { return None };
        let (number, reports) = self.reports.next_batch(now.monotonic, self.patience())?;
        Some((link, Up::Reports { number, reports }))
    }

    /// How long reports may wait for others. Not at all where the server could
    /// give this worker something to do if it knew.
    fn patience(&self) -> Duration {
        let is_full = self.occupied >= self.settings.concurrency;
        let slots = usize::try_from(self.settings.concurrency).unwrap_or(usize::MAX);
        if is_full && self.startable.len() >= slots { GATHER } else { Duration::ZERO }
    }

    /// When [`Event::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let of_executions = self.deadlines.first().map(|(at, _)| *at);
        let of_reports = self.reports.due_at(GATHER);
        of_executions.into_iter().chain(self.lease.uploads_end_at()).chain(of_reports).min()
    }

    /// Whether the agent holds this execution.
    #[must_use]
    pub fn holds(&self, execution: ExecutionId) -> bool {
        self.executions.contains_key(&execution)
    }

    /// How many commands may run at once.
    #[must_use]
    pub const fn concurrency(&self) -> u32 {
        self.settings.concurrency
    }

    fn react(&mut self, turn: &mut Turn, event: Event) {
        match event {
            Event::SupervisorUp(commands) => self.on_supervisor_up(turn, &commands),
            Event::SupervisorDown => self.supervisor_is_up = false,
            Event::LinkUp { link } => self.on_link_up(turn, link),
            Event::LinkDown { link } => self.on_link_down(turn, link),
            Event::Frame { link, frame } => self.on_frame(turn, link, frame),
            Event::Prepared { execution, result } => self.on_prepared(turn, execution, result),
            Event::Keyed { execution, key } => self.on_keyed(turn, execution, key),
            Event::Reusable { execution, reuse } => self.on_reusable(execution, reuse),
            Event::Made { execution, files } => self.on_made(execution, files),
            Event::Uploaded { execution, result } => self.on_uploaded(turn, execution, result),
            Event::Started { execution, at } => self.on_started(turn, execution, at),
            Event::NotStarted { execution, failure } => {
                self.on_not_started(turn, execution, failure);
            }
            Event::Ended { execution, end } => self.on_ended(turn, execution, end),
            Event::OutputSent { execution, link, sizes } => {
                self.on_output_sent(turn, execution, link, sizes);
            }
            Event::HeartbeatDue => self.on_heartbeat_due(turn),
            Event::Tick => self.on_tick(turn),
            Event::Drain => {
                self.draining = true;
                self.on_heartbeat_due(turn);
            }
            Event::Evict { reason } => self.on_evict(turn, reason),
        }
    }

    /// What the server says counts only on the present link, and but for the
    /// welcome only after it.
    fn on_frame(&mut self, turn: &mut Turn, link: u64, frame: Down) {
        match (self.link, frame) {
            (Link::Greeting { link: present, since }, Down::Welcome(welcome))
                if present == link =>
            {
                self.on_welcome(turn, link, since, *welcome);
            }
            (Link::Up { link: present }, frame) if present == link => {
                self.on_order(turn, link, frame);
            }
            _ => {}
        }
    }

    fn on_order(&mut self, turn: &mut Turn, link: u64, frame: Down) {
        match frame {
            Down::Start(start) => self.on_start(turn, &start),
            Down::Order { execution, verdict } => self.on_verdict(turn, execution, verdict),
            Down::Ack { number, verdicts } => self.on_ack(turn, number, &verdicts),
            Down::HeartbeatAck { number, .. } => self.on_heartbeat_ack(turn, number),
            Down::OutputFrom { execution, have } => self.on_output_from(turn, execution, have),
            Down::Settings { settings, wanted, lost_after_seconds } => {
                self.apply_settings(settings);
                self.wanted = wanted;
                self.on_lost_after(turn, lost_after_seconds);
            }
            Down::Suspend { execution, suspension } => self.on_suspend(turn, execution, suspension),
            Down::Signal { execution, signal } => self.on_signal(turn, execution, signal),
            Down::Edit(edit) => self.on_edit(turn, &edit),
            Down::Adopt { executions } => self.on_adopt(turn, link, &executions),
            Down::Abandon { executions } => self.on_abandon(turn, &executions),
            Down::Clean { what } => turn.wants(Effect::Clean(what)),
            Down::Restart => turn.wants(Effect::Restart),
            Down::Resend(resend) => self.on_resend(turn, *resend),
            // The link itself acts on a refusal; a second welcome says nothing new.
            // What was found in the cache is for the one who asked.
            Down::Welcome(_) | Down::Refused { .. } | Down::Cached { .. } => {}
        }
    }

    /// A draining agent leaves once all that is left are orphans without a
    /// process: nobody can take their reports now, and the journal keeps them.
    fn leave_if_done(&mut self, turn: &mut Turn) {
        let draining = self.draining || self.wanted == WantedState::Draining;
        let is_done = |held: &Execution| held.orphaned && held.has_ended();
        if draining && !self.leaving && self.executions.values().all(is_done) {
            self.leaving = true;
            turn.wants(Effect::Exit);
        }
    }

    /// Tells the server, if it listens. If it does not, the state says later
    /// what it has to know.
    pub(super) fn report(&mut self, execution: ExecutionId, at: Timestamp, event: ReportEvent) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        let Some(held) = self.executions.get(&execution) else { return };
        if !held.orphaned && held.stop != Some(StopReason::Superseded) {
            let (task, revision) = (held.order.task, held.order.revision);
            self.reports.push(Report { execution, task, revision, at, event });
        }
    }

    /// Moves an execution to a stage; its deadline, which belonged to the old
    /// one, goes. Slots and the queue for them follow.
    pub(super) fn set_stage(&mut self, id: ExecutionId, stage: Stage) {
        self.set_deadline(id, None);
        let Some(held) = self.executions.get_mut(&id) else { return };
        let held_slot = held.holds_slot();
        let old_phase = held.phase();
        held.stage = stage;
        let holds_slot = held.holds_slot();
        if held.phase() != old_phase {
            self.untold_phases.insert(id);
        }
        if held_slot != holds_slot {
            let order = held.order.clone();
            let slots = self.slots_of(&order);
            if holds_slot {
                self.occupied = self.occupied.saturating_add(slots);
            } else {
                self.occupied = self.occupied.saturating_sub(slots);
            }
        }
        self.refresh_startable(id);
    }

    pub(super) fn set_deadline(&mut self, id: ExecutionId, deadline: Option<Monotonic>) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if let Some(old) = held.deadline {
            self.deadlines.remove(&(old, id));
        }
        held.deadline = deadline;
        if let Some(new) = deadline {
            self.deadlines.insert((new, id));
        }
    }

    /// Takes an execution out of the books.
    pub(super) fn remove(&mut self, id: ExecutionId) -> Option<Execution> {
        self.set_deadline(id, None);
        self.untold_phases.remove(&id);
        self.unconfirmed.remove(&id);
        let held = self.executions.remove(&id)?;
        self.startable.remove(&place(&held));
        if held.holds_slot() {
            self.occupied = self.occupied.saturating_sub(self.slots_of(&held.order));
        }
        Some(held)
    }
}
