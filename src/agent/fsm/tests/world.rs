//! What surrounds an agent: a server, a supervisor with commands, a disk. It
//! does what the agent wants, and watches that no rule is broken.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::link::{Down, ReportEvent, Up};
use crate::domain::demand::Demand;
use crate::domain::execution::Suspension;
use crate::domain::signal::Signal;
use crate::domain::{Epoch, ExecutionId, Monotonic};

use super::super::execution::Stage;
use super::super::slots::place;
use super::super::*;
use super::bench::*;

/// What surrounds the agent.
pub struct World {
    pub state: AgentState,
    pub now: crate::domain::Now,
    pub concurrency: u32,
    /// Seconds from a word of the server to the last start; none: any number.
    pub lease: Option<u64>,
    pub epoch: Epoch,
    /// What the server holds back.
    pub held_back: BTreeMap<ExecutionId, Suspension>,
    /// The agent wants to dial again.
    pub redials: bool,
    /// What the last hello named.
    pub named: Vec<ExecutionId>,
    pub link: u64,
    pub linked: bool,
    pub next_id: u64,
    /// Frames of reports that are not acknowledged.
    pub frames: Vec<Frame>,
    pub heartbeats: Vec<(u64, Monotonic)>,
    pub downloads: BTreeSet<ExecutionId>,
    pub uploads: BTreeSet<ExecutionId>,
    /// Ends of output that were asked for on this link.
    pub finishing: BTreeSet<ExecutionId>,
    pub followed: BTreeSet<ExecutionId>,
    pub supervisor_is_up: bool,
    pub commands: BTreeMap<ExecutionId, Command>,
    pub journal: Vec<Record>,
    pub store: Option<(crate::domain::StoreId, crate::domain::Epoch)>,
    pub seen: Seen,
}

pub type Frame = (u64, Monotonic, Vec<(ExecutionId, ReportEvent)>);

#[derive(Clone)]
pub struct Command {
    pub started_at: crate::domain::Timestamp,
    pub started_told: bool,
    pub end: Option<CommandEnd>,
    pub end_told: bool,
    pub demand: Demand,
    /// Limit on its run, seconds.
    pub limit: Option<u64>,
    /// For how many seconds it has run; those in which it stood still do not count.
    pub ran: u64,
    pub stands: bool,
}

/// What the invariants are about.
#[derive(Default)]
pub struct Seen {
    pub spawned: BTreeSet<ExecutionId>,
    pub acceptance_acknowledged: BTreeSet<ExecutionId>,
    pub leave_given: BTreeSet<ExecutionId>,
    pub may_be_killed: BTreeSet<ExecutionId>,
    pub dropped: BTreeSet<ExecutionId>,
    pub accepted: BTreeSet<ExecutionId>,
    pub finished: BTreeMap<ExecutionId, u32>,
    /// The server does not know them.
    pub orphans: BTreeSet<ExecutionId>,
    /// The supervisor died before it read the request to start them.
    pub unread: BTreeSet<ExecutionId>,
    pub cancelled: BTreeSet<ExecutionId>,
    /// All of their output was sent on this link.
    pub output_sent: BTreeSet<ExecutionId>,
    pub last_word: Option<Monotonic>,
    /// By which revision a command has to be started.
    pub edited: BTreeMap<ExecutionId, u32>,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            state: AgentState::new(Limits::default(), machine(), settings(2), None),
            now: Bench::alone().now,
            concurrency: 2,
            lease: Some(570),
            epoch: Epoch(1),
            held_back: BTreeMap::new(),
            redials: false,
            named: Vec::new(),
            link: 0,
            linked: false,
            next_id: 1,
            frames: Vec::new(),
            heartbeats: Vec::new(),
            downloads: BTreeSet::new(),
            uploads: BTreeSet::new(),
            finishing: BTreeSet::new(),
            followed: BTreeSet::new(),
            supervisor_is_up: true,
            commands: BTreeMap::new(),
            journal: Vec::new(),
            store: None,
            seen: Seen::default(),
        };
        world.on(Event::SupervisorUp(Vec::new()));
        world
    }

    pub fn on(&mut self, event: Event) {
        for effect in self.state.on(self.now, event) {
            self.perform(effect);
        }
        while let Some((link, Up::Reports { number, reports })) = self.state.next_reports(self.now)
        {
            assert_eq!((link, self.linked), (self.link, true));
            let orphan = reports.iter().find(|told| self.seen.orphans.contains(&told.execution));
            assert_eq!(orphan, None, "told of an orphan");
            let told = reports.into_iter().map(|report| (report.execution, report.event));
            self.frames.push((number, self.now.monotonic, told.collect()));
        }
        self.check_books();
    }

    pub fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Journal(record) => self.write(record),
            Effect::Prepare { order, .. } => {
                assert!(self.downloads.insert(order.execution), "two downloads at once");
            }
            Effect::Spawn(order) => self.spawn(&order),
            Effect::Signal { execution, signal } => self.signal(execution, signal),
            Effect::ForgetCommand(id) => {
                let command = self.commands.get(&id);
                let has_ended = command.is_none_or(|command| command.end.is_some());
                assert!(has_ended, "{id} runs and is forgotten");
                self.commands.remove(&id);
            }
            Effect::Upload(order) => {
                let id = order.execution;
                assert!(self.seen.leave_given.contains(&id), "upload without leave");
                assert!(!self.seen.cancelled.contains(&id), "upload of what was cancelled");
                self.check_contact();
                assert!(self.uploads.insert(id), "two uploads at once");
            }
            Effect::StopTransfer(id) => {
                let stage = self.state.executions.get(&id).map(|held| &held.stage);
                if !matches!(stage, Some(Stage::Downloading(_))) {
                    self.downloads.remove(&id);
                }
                self.uploads.remove(&id);
            }
            Effect::FollowNewOutput { execution, link }
            | Effect::FollowOutput { execution, link, .. } => {
                assert_eq!(link, self.link);
                self.finishing.remove(&execution);
                self.followed.insert(execution);
            }
            Effect::FinishOutput { execution } => {
                assert!(self.followed.contains(&execution), "{execution} is not followed");
                self.finishing.insert(execution);
            }
            Effect::StopOutput(execution) => {
                self.followed.remove(&execution);
                self.finishing.remove(&execution);
            }
            Effect::StopAllOutput => {
                self.seen.output_sent.clear();
                self.followed.clear();
                self.finishing.clear();
            }
            Effect::SendHeartbeat { number, .. } => {
                self.heartbeats.push((number, self.now.monotonic));
            }
            Effect::RememberStore(store, epoch) => self.store = Some((store, epoch)),
            Effect::Discard { execution, .. } => {
                let runs =
                    self.commands.get(&execution).is_some_and(|command| command.end.is_none());
                assert!(!runs, "{execution} runs in a folder that goes");
            }
            Effect::SendHello { held, .. } => {
                self.named = held.iter().map(|held| held.execution).collect();
            }
            Effect::Redial { link } => {
                assert_eq!(link, self.link);
                self.redials = true;
            }
            Effect::RememberToken(_) | Effect::Clean(_) | Effect::SendEvicted { .. } => {}
            Effect::Restart | Effect::Exit => panic!("{effect:?}"),
        }
    }

    pub fn write(&mut self, record: Record) {
        match &record {
            Record::Accepted { order, .. } => {
                assert!(self.seen.accepted.insert(order.execution), "accepted twice");
            }
            Record::Finished { report, .. } => {
                if let ReportEvent::Finished { ended_at: Some(_), .. } = report.event {
                    let is_sent = self.seen.output_sent.contains(&report.execution);
                    assert!(is_sent, "an end before its output");
                }
                *self.seen.finished.entry(report.execution).or_default() += 1;
            }
            _ => {}
        }
        self.journal.push(record);
    }

    pub fn spawn(&mut self, order: &Order) {
        let id = order.execution;
        assert!(self.seen.spawned.insert(id), "{id} was started twice");
        assert!(self.seen.acceptance_acknowledged.contains(&id), "{id} was started too early");
        assert!(self.supervisor_is_up);
        assert!(!self.seen.orphans.contains(&id), "{id} is an orphan and was started");
        assert!(!self.downloads.contains(&id), "{id} was started before its data was there");
        assert_eq!(self.held_back.get(&id), None, "{id} is held back and was started");
        assert_eq!(order.revision, self.seen.edited.get(&id).copied().unwrap_or(0));
        let own = place(&self.state.executions[&id]);
        let passed_over = self.state.startable.first().filter(|first| **first < own);
        assert_eq!(passed_over, None, "{id} came before its turn");
        let demand = Demand::of(&order.spec);
        let running = self.commands.values().filter(|command| !command.end_told);
        let demands = running.map(|command| command.demand).chain([demand]);
        let taken: u32 =
            demands.map(|demand| demand.slots_on(&machine(), self.concurrency).unwrap()).sum();
        assert!(taken <= self.concurrency, "{taken} slots are taken");
        self.check_contact();
        let command = Command {
            started_at: self.now.wall,
            started_told: false,
            end: None,
            end_told: false,
            demand,
            limit: order.spec.run_timeout.map(u64::from),
            ran: 0,
            stands: false,
        };
        self.commands.insert(id, command);
    }

    pub fn signal(&mut self, id: ExecutionId, signal: Signal) {
        let may_be_killed = self.seen.may_be_killed.contains(&id);
        let shall_stand = self.held_back.get(&id) == Some(&Suspension::Run)
            || self.seen.orphans.contains(&id)
            || self.state.unconfirmed.contains(&id);
        // One that has ended does not feel it.
        let command = self.commands.get_mut(&id).filter(|command| command.end.is_none());
        let Some(command) = command else { return };
        match signal {
            Signal::Tstp | Signal::Stop => {
                // The server may have changed its mind while there was no link.
                assert!(shall_stand || !self.linked, "{id} was suspended");
                command.stands = true;
            }
            Signal::Cont => command.stands = false,
            Signal::Usr1 => {}
            _ => assert!(may_be_killed, "{id} was killed"),
        }
        if signal == Signal::Kill {
            // Nothing that it waits for keeps it.
            command.stands = false;
        }
    }

    pub fn check_contact(&self) {
        let silent = self.now.monotonic.since(self.seen.last_word.unwrap()).as_secs();
        assert!(self.lease.is_none_or(|lease| silent <= lease), "{silent} s of silence");
    }

    pub fn word(&mut self, sent_at: Monotonic) {
        self.seen.last_word = self.seen.last_word.max(Some(sent_at));
    }

    /// The counts that are kept agree with the executions.
    pub fn check_books(&self) {
        let held = self.state.executions.values();
        let slots: u32 = held
            .clone()
            .filter(|held| held.holds_slot())
            .map(|held| self.state.slots_of(&held.order))
            .sum();
        assert_eq!(self.state.occupied, slots);
        let startable: BTreeSet<_> =
            held.clone().filter(|held| held.is_startable()).map(place).collect();
        assert_eq!(self.state.startable, startable);
        let last_word = self.seen.last_word;
        let is_in_contact = last_word.is_some_and(|word| {
            let silent = self.now.monotonic.since(word).as_secs();
            self.lease.is_none_or(|lease| silent <= lease)
        });
        assert!(self.uploads.is_empty() || is_in_contact, "an upload goes on in silence");
        let deadlines: BTreeSet<(Monotonic, ExecutionId)> =
            held.filter_map(|held| Some((held.deadline?, held.id()))).collect();
        assert_eq!(self.state.deadlines, deadlines);
    }

    pub fn prepare(&mut self, choice: usize, result: Result<(), TransferFailure>) {
        if let Some(id) = pick(&self.downloads, choice) {
            self.downloads.remove(&id);
            self.on(Event::Prepared { execution: id, result });
        }
    }

    pub fn upload(&mut self, choice: usize, result: Result<(), TransferFailure>) {
        if let Some(id) = pick(&self.uploads, choice) {
            self.uploads.remove(&id);
            self.on(Event::Uploaded { execution: id, result });
        }
    }

    pub fn send_output(&mut self, choice: usize) {
        if let Some(id) = pick(&self.finishing, choice) {
            self.finishing.remove(&id);
            self.followed.remove(&id);
            self.seen.output_sent.insert(id);
            self.on(Event::OutputSent { execution: id, link: self.link, sizes: SIZES });
        }
    }

    pub fn tell_start(&mut self, choice: usize, goes_well: bool) {
        let untold = self.commands.iter().filter(|(_, command)| !command.started_told);
        let ids: BTreeSet<ExecutionId> = untold.map(|(id, _)| *id).collect();
        let Some(id) = pick(&ids, choice).filter(|_| self.supervisor_is_up) else { return };
        if goes_well {
            let command = self.commands.get_mut(&id).unwrap();
            command.started_told = true;
            let at = command.started_at;
            self.on(Event::Started { execution: id, at });
        } else if self.commands[&id].end.is_none() {
            self.commands.remove(&id);
            // Nothing has run: the next agent may try again.
            self.seen.spawned.remove(&id);
            let failure = NotStarted { exit_code: Some(127), reason: "not found".to_owned() };
            self.on(Event::NotStarted { execution: id, failure });
        }
    }

    /// A command ends, and the agent hears of it when there is a supervisor.
    pub fn end(&mut self, choice: usize, exit: Exit) {
        let running =
            self.commands.iter().filter(|(_, command)| command.end.is_none() && !command.stands);
        let ids: BTreeSet<ExecutionId> = running.map(|(id, _)| *id).collect();
        let Some(id) = pick(&ids, choice) else { return };
        let command = self.commands.get_mut(&id).unwrap();
        let end = CommandEnd {
            exit,
            usage: None,
            started_at: command.started_at,
            ended_at: self.now.wall,
        };
        command.end = Some(end.clone());
        if self.supervisor_is_up {
            command.end_told = true;
            self.on(Event::Ended { execution: id, end });
        }
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now.monotonic = self.now.monotonic.after(std::time::Duration::from_secs(seconds));
        self.now.wall.0 += i64::try_from(seconds).unwrap() * 1_000_000;
        for (id, command) in &mut self.commands {
            if command.end.is_none() && !command.stands {
                command.ran += seconds;
            }
            if command.limit.is_some_and(|limit| command.ran >= limit) {
                self.seen.may_be_killed.insert(*id);
            }
        }
        self.on(Event::Tick);
    }

    pub fn heartbeat(&mut self) {
        self.on(Event::HeartbeatDue);
        if !self.heartbeats.is_empty() {
            let (number, sent_at) = self.heartbeats.remove(0);
            self.word(sent_at);
            self.frame(Down::HeartbeatAck { number, storage: None });
        }
    }

    pub fn known(&mut self) -> Vec<(ExecutionId, CommandState)> {
        let mut known = Vec::new();
        for (id, command) in &mut self.commands {
            command.started_told = true;
            command.end_told = command.end.is_some();
            let state = match &command.end {
                Some(end) => CommandState::Ended(end.clone()),
                None => CommandState::Running { started_at: command.started_at },
            };
            known.push((*id, state));
        }
        known
    }

    /// A supervisor that dies may take requests with it that it had not read.
    pub fn supervisor(&mut self, is_up: bool) {
        if self.supervisor_is_up == is_up {
            return;
        }
        self.supervisor_is_up = is_up;
        if is_up {
            let known = self.known();
            self.on(Event::SupervisorUp(known));
        } else {
            let is_read = |id: &ExecutionId, command: &Command| {
                command.started_told || id.0.is_multiple_of(2)
            };
            let unread = self.commands.iter().filter(|(id, command)| !is_read(id, command));
            self.seen.unread.extend(unread.map(|(id, _)| *id));
            self.commands.retain(|id, command| is_read(id, command));
            self.on(Event::SupervisorDown);
        }
    }
}

/// One of them, if there is any.
pub fn pick(ids: &BTreeSet<ExecutionId>, choice: usize) -> Option<ExecutionId> {
    ids.iter().nth(choice % ids.len().max(1)).copied()
}
