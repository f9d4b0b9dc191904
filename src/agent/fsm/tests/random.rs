//! Random lives against the invariants: an agent in a world that loses links,
//! supervisors and the agent itself at any moment.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::api::link::{Down, ReportEvent, Up, Verdict};
use crate::domain::execution::OutputSizes;
use crate::domain::{ExecutionId, Monotonic};

use super::super::execution::{Execution, Stage};
use super::super::*;
use super::bench::*;

/// Seconds from a word of the server to the last start.
const LEASE: u64 = 570;

const SPECS: [&str; 4] = [PLAIN, WITH_OUTPUT, WITH_LIMITS, WITH_OUTPUT];

const VERDICTS: [Verdict; 8] = [
    Verdict::Keep,
    Verdict::Keep,
    Verdict::Keep,
    Verdict::Superseded,
    Verdict::Cancelled,
    Verdict::Settled,
    Verdict::GiveBack,
    Verdict::Unknown,
];

/// What surrounds the agent.
struct World {
    state: AgentState,
    now: crate::domain::Now,
    concurrency: u32,
    link: u64,
    linked: bool,
    next_id: u64,
    /// Frames of reports that are not acknowledged.
    frames: Vec<Frame>,
    heartbeats: Vec<(u64, Monotonic)>,
    downloads: BTreeSet<ExecutionId>,
    uploads: BTreeSet<ExecutionId>,
    /// Ends of output that were asked for on this link.
    finishing: BTreeSet<ExecutionId>,
    followed: BTreeSet<ExecutionId>,
    supervisor_is_up: bool,
    commands: BTreeMap<ExecutionId, Command>,
    journal: Vec<Record>,
    store: Option<(crate::domain::StoreId, crate::domain::Epoch)>,
    seen: Seen,
}

type Frame = (u64, Monotonic, Vec<(ExecutionId, ReportEvent)>);

#[derive(Clone)]
struct Command {
    started_at: crate::domain::Timestamp,
    started_told: bool,
    end: Option<CommandEnd>,
    end_told: bool,
}

/// What the invariants are about.
#[derive(Default)]
struct Seen {
    spawned: BTreeSet<ExecutionId>,
    acceptance_acknowledged: BTreeSet<ExecutionId>,
    leave_given: BTreeSet<ExecutionId>,
    may_be_killed: BTreeSet<ExecutionId>,
    dropped: BTreeSet<ExecutionId>,
    accepted: BTreeSet<ExecutionId>,
    finished: BTreeMap<ExecutionId, u32>,
    /// The server does not know them.
    orphans: BTreeSet<ExecutionId>,
    /// The supervisor died before it read the request to start them.
    unread: BTreeSet<ExecutionId>,
    cancelled: BTreeSet<ExecutionId>,
    /// All of their output was sent on this link.
    output_sent: BTreeSet<ExecutionId>,
    last_word: Option<Monotonic>,
}

impl World {
    fn new() -> Self {
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

    fn on(&mut self, event: Event) {
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

    fn perform(&mut self, effect: Effect) {
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
                assert!(self.uploads.insert(id), "two uploads at once");
            }
            Effect::StopTransfer(id) => {
                self.downloads.remove(&id);
                self.uploads.remove(&id);
            }
            Effect::FollowOutput { execution, link, .. } => {
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

    fn write(&mut self, record: Record) {
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

    fn spawn(&mut self, order: &Order) {
        let id = order.execution;
        assert!(self.seen.spawned.insert(id), "{id} was started twice");
        assert!(self.seen.acceptance_acknowledged.contains(&id), "{id} was started too early");
        assert!(self.supervisor_is_up);
        assert!(!self.seen.orphans.contains(&id), "{id} is an orphan and was started");
        let running = self.commands.values().filter(|command| !command.end_told).count();
        assert!(running < self.concurrency as usize, "{running} commands run");
        let silent = self.now.monotonic.since(self.seen.last_word.unwrap()).as_secs();
        assert!(silent <= LEASE, "started after {silent} s of silence");
        let command =
            Command { started_at: self.now.wall, started_told: false, end: None, end_told: false };
        self.commands.insert(id, command);
    }

    fn word(&mut self, sent_at: Monotonic) {
        self.seen.last_word = self.seen.last_word.max(Some(sent_at));
    }

    /// The counts that are kept agree with the executions.
    fn check_books(&self) {
        let held = self.state.executions.values();
        let slots = held.clone().filter(|held| held.holds_slot()).count();
        assert_eq!(self.state.occupied, slots);
        let startable: BTreeSet<ExecutionId> =
            held.clone().filter(|held| held.is_startable()).map(Execution::id).collect();
        assert_eq!(self.state.startable, startable);
        let deadlines: BTreeSet<(Monotonic, ExecutionId)> =
            held.filter_map(|held| Some((held.deadline?, held.id()))).collect();
        assert_eq!(self.state.deadlines, deadlines);
    }

    fn dial(&mut self, choose: impl Fn(usize) -> Verdict) {
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
    fn fitting(&self, id: ExecutionId, verdict: Verdict) -> Verdict {
        let has_ended = self.state.executions.get(&id).is_some_and(Execution::has_ended);
        if verdict == Verdict::Settled && !has_ended { Verdict::Keep } else { verdict }
    }

    fn told(&mut self, id: ExecutionId, verdict: Verdict) {
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

    fn hang_up(&mut self) {
        self.linked = false;
        self.frames.clear();
        self.heartbeats.clear();
        self.on(Event::LinkDown { link: self.link });
    }

    fn frame(&mut self, frame: Down) {
        if self.linked {
            self.on(Event::Frame { link: self.link, frame });
        }
    }

    fn order_start(&mut self, choice: usize) {
        if self.linked {
            let number = self.next_id;
            self.next_id += 1;
            self.frame(start(number, SPECS[choice % SPECS.len()]));
        }
    }

    fn acknowledge(&mut self, verdict: Verdict) {
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

    fn prepare(&mut self, choice: usize, result: Result<(), TransferFailure>) {
        if let Some(id) = pick(&self.downloads, choice) {
            self.downloads.remove(&id);
            self.on(Event::Prepared { execution: id, result });
        }
    }

    fn upload(&mut self, choice: usize, result: Result<(), TransferFailure>) {
        if let Some(id) = pick(&self.uploads, choice) {
            self.uploads.remove(&id);
            self.on(Event::Uploaded { execution: id, result });
        }
    }

    fn send_output(&mut self, choice: usize) {
        if let Some(id) = pick(&self.finishing, choice) {
            self.finishing.remove(&id);
            self.followed.remove(&id);
            self.seen.output_sent.insert(id);
            self.on(Event::OutputSent { execution: id, link: self.link, sizes: SIZES });
        }
    }

    fn tell_start(&mut self, choice: usize, goes_well: bool) {
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
    fn end(&mut self, choice: usize, exit: Exit) {
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

    fn pass(&mut self, seconds: u64) {
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

    fn heartbeat(&mut self) {
        self.on(Event::HeartbeatDue);
        if !self.heartbeats.is_empty() {
            let (number, sent_at) = self.heartbeats.remove(0);
            self.word(sent_at);
            self.frame(Down::HeartbeatAck { number });
        }
    }

    fn known(&mut self) -> Vec<(ExecutionId, CommandState)> {
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
    fn supervisor(&mut self, is_up: bool) {
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

    /// The agent is killed, and another one takes over.
    fn restart(&mut self) {
        self.state = AgentState::new(Limits::default(), settings(2), self.store.clone());
        self.state.restore(self.journal.clone());
        self.linked = false;
        self.frames.clear();
        self.heartbeats.clear();
        for set in [&mut self.downloads, &mut self.uploads, &mut self.followed, &mut self.finishing]
        {
            set.clear();
        }
        self.concurrency = 2;
        self.supervisor_is_up = true;
        // Leave that was given to the dead one does not count.
        self.seen.leave_given.clear();
        self.seen.last_word = None;
        // The next agent sees that they never ran.
        for id in std::mem::take(&mut self.seen.unread) {
            self.seen.spawned.remove(&id);
        }
        let known = self.known();
        for (id, state) in &known {
            if let CommandState::Running { started_at } = state
                && self.now.wall.seconds_since(*started_at) >= 60.0
            {
                self.seen.may_be_killed.insert(*id);
            }
        }
        self.on(Event::SupervisorUp(known));
    }

    fn step(&mut self, operation: u8, choice: usize) {
        match operation {
            0 => self.dial(|_| Verdict::Keep),
            1 => self.dial(|position| VERDICTS[(choice + position * 7) % VERDICTS.len()]),
            2 => self.hang_up(),
            3..=6 => self.order_start(choice),
            7..=12 => self.acknowledge(Verdict::Keep),
            13 => self.acknowledge(VERDICTS[choice % VERDICTS.len()]),
            14..=17 => self.prepare(choice, Ok(())),
            18 => self.prepare(choice, Err(failure(false))),
            19..=22 => self.tell_start(choice, true),
            23 => self.tell_start(choice, false),
            24..=26 => self.end(choice, Exit::Code(i32::from(choice.is_multiple_of(3)))),
            27 => self.end(choice, Exit::Lost { reason: String::new() }),
            28..=29 => self.upload(choice, Ok(())),
            30 => self.upload(choice, Err(failure(choice.is_multiple_of(2)))),
            31..=33 => self.send_output(choice),
            34 => self.pass([1, 7, 30, 300, 3_000, 90_000][choice % 6]),
            35 => self.heartbeat(),
            36 => {
                let held: BTreeSet<ExecutionId> = self.state.executions.keys().copied().collect();
                if let Some(id) = pick(&held, choice).filter(|_| self.linked) {
                    let verdict = self.fitting(id, VERDICTS[choice / 7 % VERDICTS.len()]);
                    self.told(id, verdict);
                    self.frame(Down::Order { execution: id, verdict });
                }
            }
            37 => self.supervisor(choice.is_multiple_of(3)),
            38 => self.restart(),
            _ => {
                self.concurrency = u32::try_from(choice % 4).unwrap();
                let wanted = crate::domain::worker::WantedState::Running;
                if self.linked {
                    self.frame(Down::Settings { settings: settings(self.concurrency), wanted });
                } else {
                    self.concurrency = self.state.concurrency();
                }
            }
        }
    }

    /// Everything goes well from here on: all that was accepted comes to an end.
    fn settle(&mut self) {
        self.concurrency = 4;
        self.supervisor(true);
        self.dial(|_| Verdict::Keep);
        for _ in 0..10_000 {
            if self.state.executions.is_empty() {
                break;
            }
            while !self.frames.is_empty() {
                self.acknowledge(Verdict::Keep);
            }
            self.prepare(0, Ok(()));
            self.tell_start(0, true);
            self.end(0, Exit::Code(0));
            self.upload(0, Ok(()));
            self.send_output(0);
            self.pass(1);
            self.heartbeat();
        }
        let stuck: Vec<(&ExecutionId, &Stage)> =
            self.state.executions.iter().map(|(id, held)| (id, &held.stage)).collect();
        assert!(stuck.is_empty(), "stuck: {stuck:?}");
        for id in &self.seen.accepted {
            let ends = self.seen.finished.get(id).copied().unwrap_or(0);
            let expected = if self.seen.dropped.contains(id) { 0..=1 } else { 1..=1 };
            assert!(expected.contains(&ends), "{id} ended {ends} times");
        }
    }
}

fn pick(ids: &BTreeSet<ExecutionId>, choice: usize) -> Option<ExecutionId> {
    ids.iter().nth(choice % ids.len().max(1)).copied()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_lives_break_no_rule(
        steps in prop::collection::vec((0_u8..40, 0_usize..1_000), 0..300)
    ) {
        let mut world = World::new();
        world.dial(|_| Verdict::Keep);
        for (operation, choice) in steps {
            world.step(operation, choice);
        }
        world.settle();
    }
}
