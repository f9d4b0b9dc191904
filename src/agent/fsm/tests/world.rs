//! What surrounds an agent: a server, a supervisor with commands, a disk. It
//! does what the agent wants, and watches that no rule is broken.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::link::{Down, ReportEvent, Up, Verdict};
use crate::domain::execution::OutputSizes;
use crate::domain::{ExecutionId, Monotonic};

use super::super::execution::Execution;
use super::super::*;
use super::bench::*;

/// Seconds from a word of the server to the last start.
const LEASE: u64 = 570;

const SPECS: [&str; 4] = [PLAIN, WITH_OUTPUT, WITH_LIMITS, WITH_OUTPUT];

/// What surrounds the agent.
pub struct World {
    pub state: AgentState,
    pub now: crate::domain::Now,
    pub concurrency: u32,
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
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            state: AgentState::new(Limits::default(), settings(2), None),
            now: Bench::alone().now,
            concurrency: 2,
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
            Effect::Prepare { order, .. } => drop(self.downloads.insert(order.execution)),
            Effect::Spawn(order) => self.spawn(&order),
            Effect::Signal { execution, .. } => {
                assert!(self.seen.may_be_killed.contains(&execution), "{execution} was killed");
            }
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
                self.downloads.remove(&id);
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
            Effect::SendHello { .. } | Effect::RememberToken(_) => {}
            Effect::Redial { .. } | Effect::Exit => panic!("{effect:?}"),
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
        let running = self.commands.values().filter(|command| !command.end_told).count();
        assert!(running < self.concurrency as usize, "{running} commands run");
        self.check_contact();
        let command =
            Command { started_at: self.now.wall, started_told: false, end: None, end_told: false };
        self.commands.insert(id, command);
    }

    pub fn check_contact(&self) {
        let silent = self.now.monotonic.since(self.seen.last_word.unwrap()).as_secs();
        assert!(silent <= LEASE, "{silent} s of silence");
    }

    pub fn word(&mut self, sent_at: Monotonic) {
        self.seen.last_word = self.seen.last_word.max(Some(sent_at));
    }

    /// The counts that are kept agree with the executions.
    pub fn check_books(&self) {
        let held = self.state.executions.values();
        let slots = held.clone().filter(|held| held.holds_slot()).count();
        assert_eq!(self.state.occupied, slots);
        let startable: BTreeSet<ExecutionId> =
            held.clone().filter(|held| held.is_startable()).map(Execution::id).collect();
        assert_eq!(self.state.startable, startable);
        let last_word = self.seen.last_word;
        let is_in_contact =
            last_word.is_some_and(|word| self.now.monotonic.since(word).as_secs() <= LEASE);
        assert!(self.uploads.is_empty() || is_in_contact, "an upload goes on in silence");
        let deadlines: BTreeSet<(Monotonic, ExecutionId)> =
            held.filter_map(|held| Some((held.deadline?, held.id()))).collect();
        assert_eq!(self.state.deadlines, deadlines);
    }

    pub fn dial(&mut self, choose: impl Fn(usize) -> Verdict) {
        self.link += 1;
        self.linked = true;
        self.frames.clear();
        self.heartbeats.clear();
        let link = self.link;
        self.on(Event::LinkUp { link });
        let mut reply = welcome("s");
        reply.settings = settings(self.concurrency);
        let held: Vec<ExecutionId> = self.state.executions.keys().copied().collect();
        for (position, id) in held.into_iter().enumerate() {
            let verdict = self.fitting(id, choose(position));
            self.told(id, verdict);
            reply.verdicts.push((id, verdict));
            reply.output.push((id, OutputSizes { stdout: 1, stderr: 1 }));
        }
        self.word(self.now.monotonic);
        self.on(Event::Frame { link, frame: Down::Welcome(Box::new(reply)) });
    }

    /// Servers say `settled` only of what has ended.
    pub fn fitting(&self, id: ExecutionId, verdict: Verdict) -> Verdict {
        let has_ended = self.state.executions.get(&id).is_some_and(Execution::has_ended);
        if verdict == Verdict::Settled && !has_ended { Verdict::Keep } else { verdict }
    }

    pub fn told(&mut self, id: ExecutionId, verdict: Verdict) {
        if verdict == Verdict::Unknown {
            self.seen.orphans.insert(id);
        } else {
            self.seen.orphans.remove(&id);
        }
        match verdict {
            Verdict::Superseded => {
                self.seen.may_be_killed.insert(id);
                self.seen.dropped.insert(id);
            }
            Verdict::Cancelled => {
                self.seen.may_be_killed.insert(id);
                self.seen.cancelled.insert(id);
            }
            Verdict::Settled => drop(self.seen.dropped.insert(id)),
            _ => {}
        }
    }

    pub fn hang_up(&mut self) {
        self.linked = false;
        self.frames.clear();
        self.heartbeats.clear();
        self.on(Event::LinkDown { link: self.link });
    }

    pub fn frame(&mut self, frame: Down) {
        if self.linked {
            self.on(Event::Frame { link: self.link, frame });
        }
    }

    pub fn order_start(&mut self, choice: usize) {
        if self.linked {
            let number = self.next_id;
            self.next_id += 1;
            self.frame(start(number, SPECS[choice % SPECS.len()]));
        }
    }

    pub fn acknowledge(&mut self, verdict: Verdict) {
        if self.frames.is_empty() {
            return;
        }
        let (number, sent_at, reports) = self.frames.remove(0);
        self.word(sent_at);
        let mut verdicts = Vec::new();
        for (id, event) in reports {
            let verdict = self.fitting(id, verdict);
            if verdict != Verdict::Keep && self.state.holds(id) {
                self.told(id, verdict);
                verdicts.push((id, verdict));
                continue;
            }
            match event {
                ReportEvent::Accepted => drop(self.seen.acceptance_acknowledged.insert(id)),
                ReportEvent::Uploading { .. } => drop(self.seen.leave_given.insert(id)),
                _ => {}
            }
        }
        self.frame(Down::Ack { number, verdicts });
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
        let running = self.commands.iter().filter(|(_, command)| command.end.is_none());
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
        for held in self.state.executions.values() {
            let ran = held.started_at.map_or(0.0, |at| self.now.wall.seconds_since(at));
            if held.order.spec.run_timeout.is_some_and(|limit| ran >= f64::from(limit)) {
                self.seen.may_be_killed.insert(held.id());
            }
        }
        self.on(Event::Tick);
    }

    pub fn heartbeat(&mut self) {
        self.on(Event::HeartbeatDue);
        if !self.heartbeats.is_empty() {
            let (number, sent_at) = self.heartbeats.remove(0);
            self.word(sent_at);
            self.frame(Down::HeartbeatAck { number });
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
