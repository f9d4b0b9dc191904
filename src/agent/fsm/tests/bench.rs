//! An agent under test, with a clock that is set by hand.

use std::time::Duration;

use crate::api::link::{Down, Edit, Report, ReportEvent, Start, Up, Verdict, Welcome};
use crate::domain::execution::{FailureClass, Outcome, OutputSizes, Suspension};
use crate::domain::signal::Signal;
use crate::domain::worker::{Machine, WantedState, WorkerSettings};
use crate::domain::{
    BatchName, Epoch, ExecutionId, Monotonic, Now, StoreId, TaskId, Timestamp, WorkerId,
};

use super::super::*;

pub const SIZES: OutputSizes = OutputSizes { stdout: 5, stderr: 7 };

pub struct Bench {
    pub state: AgentState,
    pub now: Now,
    pub link: u64,
    /// Every effect so far.
    pub effects: Vec<Effect>,
    /// Every report so far.
    pub reports: Vec<Report>,
    /// Numbers of the frames of reports that are not acknowledged.
    pub unacknowledged: Vec<u64>,
}

pub fn id(number: u64) -> ExecutionId {
    ExecutionId(number)
}

pub fn store(name: &str) -> StoreId {
    StoreId(name.to_owned())
}

pub fn settings(concurrency: u32) -> WorkerSettings {
    WorkerSettings { batch: BatchName::default(), concurrency, prefetch: 0 }
}

/// Four cores and 8 GiB.
pub fn machine() -> Machine {
    Machine { cores: 4, memory_bytes: 8 << 30, ..Machine::default() }
}

pub fn welcome(name: &str) -> Welcome {
    Welcome {
        worker: WorkerId(1),
        token: None,
        store: store(name),
        epoch: Epoch(1),
        known: true,
        settings: settings(2),
        wanted: WantedState::Running,
        lost_after_seconds: Some(600),
        verdicts: Vec::new(),
        output: Vec::new(),
        storage: None,
    }
}

/// What a supervisor says of a command that runs.
pub fn running(number: u64) -> (ExecutionId, CommandState) {
    (id(number), CommandState::Running { started_at: Timestamp(0) })
}

/// A welcome of the database that the agent knows, which keeps these.
pub fn keep(numbers: &[u64]) -> Welcome {
    let mut again = welcome("s");
    again.verdicts = numbers.iter().map(|number| (id(*number), Verdict::Keep)).collect();
    again
}

/// What the agent said of itself last.
pub fn last_standing(effects: &[Effect]) -> Standing {
    let mut standings = effects.iter().filter_map(|effect| match effect {
        Effect::SendHello { standing, .. } | Effect::SendHeartbeat { standing, .. } => {
            Some(standing)
        }
        _ => None,
    });
    standings.next_back().unwrap().clone()
}

pub fn start(number: u64, spec: &str) -> Down {
    Down::Start(Box::new(Start {
        execution: id(number),
        task: TaskId(number + 100),
        attempt: 1,
        revision: 0,
        spec: serde_json::value::RawValue::from_string(spec.to_owned()).unwrap(),
    }))
}

pub fn edit(number: u64, revision: u32, spec: &str) -> Down {
    Down::Edit(Box::new(Edit {
        execution: id(number),
        revision,
        spec: serde_json::value::RawValue::from_string(spec.to_owned()).unwrap(),
    }))
}

pub fn code(code: i32) -> CommandEnd {
    end(Exit::Code(code))
}

pub fn end(exit: Exit) -> CommandEnd {
    CommandEnd { exit, usage: None, started_at: Timestamp(10), ended_at: Timestamp(20) }
}

pub fn failure(transient: bool) -> TransferFailure {
    let reason = "no such file".to_owned();
    TransferFailure { reason, transient, culprit: Culprit::Data }
}

pub const PLAIN: &str = r#"{"command":"true"}"#;
pub const WITH_UPLOAD_LIMIT: &str =
    r#"{"command":"true","output":"file:///out/","upload_timeout":30}"#;
pub const WITH_OUTPUT: &str = r#"{"command":"true","output":"file:///out/"}"#;
pub const WITH_LIMITS: &str = r#"{"command":"true","run_timeout":60,"download_timeout":30}"#;

impl Bench {
    /// An agent with a supervisor and no link.
    pub fn alone() -> Self {
        Self::with(AgentState::new(Limits::default(), machine(), settings(2), None))
    }

    pub fn with(state: AgentState) -> Self {
        let now = Now { wall: Timestamp(0), monotonic: Monotonic(Duration::from_secs(1000)) };
        let mut bench = Self {
            state,
            now,
            link: 0,
            effects: Vec::new(),
            reports: Vec::new(),
            unacknowledged: Vec::new(),
        };
        bench.on(Event::SupervisorUp(Vec::new()));
        bench
    }

    /// An agent that the server has welcomed.
    pub fn linked() -> Self {
        let mut bench = Self::alone();
        bench.dial(welcome("s"));
        bench
    }

    /// An event's effects, reports included.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.state.on(self.now, event);
        self.effects.extend(effects.iter().cloned());
        while let Some((link, Up::Reports { number, reports })) = self.state.next_reports(self.now)
        {
            assert_eq!(link, self.link);
            self.unacknowledged.push(number);
            self.reports.extend(reports);
        }
        effects
    }

    pub fn frame(&mut self, frame: Down) -> Vec<Effect> {
        self.on(Event::Frame { link: self.link, frame })
    }

    pub fn dial(&mut self, welcome: Welcome) -> Vec<Effect> {
        self.link += 1;
        let link = self.link;
        let mut effects = self.on(Event::LinkUp { link });
        effects.extend(self.frame(Down::Welcome(Box::new(welcome))));
        effects
    }

    pub fn hang_up(&mut self) -> Vec<Effect> {
        self.on(Event::LinkDown { link: self.link })
    }

    /// Acknowledges all reports.
    pub fn ack(&mut self) -> Vec<Effect> {
        self.ack_with(&[])
    }

    pub fn ack_with(&mut self, verdicts: &[(ExecutionId, Verdict)]) -> Vec<Effect> {
        let numbers = std::mem::take(&mut self.unacknowledged);
        let acks =
            numbers.into_iter().map(|number| Down::Ack { number, verdicts: verdicts.to_vec() });
        acks.flat_map(|ack| self.frame(ack)).collect()
    }

    pub fn order(&mut self, number: u64, verdict: Verdict) -> Vec<Effect> {
        self.frame(Down::Order { execution: id(number), verdict })
    }

    pub fn heartbeat(&mut self) {
        self.on(Event::HeartbeatDue);
        let number = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::SendHeartbeat { number, .. } => Some(*number),
            _ => None,
        });
        self.frame(Down::HeartbeatAck { number: number.unwrap(), storage: None });
    }

    pub fn pass(&mut self, seconds: u64) -> Vec<Effect> {
        self.now.monotonic = self.now.monotonic.after(Duration::from_secs(seconds));
        self.now.wall.0 += i64::try_from(seconds).unwrap() * 1_000_000;
        self.on(Event::Tick)
    }

    pub fn prepared(&mut self, number: u64) -> Vec<Effect> {
        self.on(Event::Prepared { execution: id(number), result: Ok(()) })
    }

    pub fn suspend(&mut self, number: u64, suspension: Suspension) -> Vec<Effect> {
        self.frame(Down::Suspend { execution: id(number), suspension })
    }

    pub fn edit(&mut self, number: u64, revision: u32, spec: &str) -> Vec<Effect> {
        self.frame(edit(number, revision, spec))
    }

    pub fn started(&mut self, number: u64) -> Vec<Effect> {
        self.on(Event::Started { execution: id(number), at: self.now.wall })
    }

    pub fn ended(&mut self, number: u64, end: CommandEnd) -> Vec<Effect> {
        self.on(Event::Ended { execution: id(number), end })
    }

    pub fn uploaded(&mut self, number: u64, result: Result<(), TransferFailure>) -> Vec<Effect> {
        self.on(Event::Uploaded { execution: id(number), result })
    }

    pub fn output_sent(&mut self, number: u64) -> Vec<Effect> {
        let link = self.link;
        self.on(Event::OutputSent { execution: id(number), link, sizes: SIZES })
    }

    /// Leads an execution until it is downloading and the server knows.
    pub fn accept(&mut self, number: u64, spec: &str) {
        self.frame(start(number, spec));
        self.ack();
    }

    /// Leads an execution until its command runs.
    pub fn run(&mut self, number: u64, spec: &str) {
        self.accept(number, spec);
        self.prepared(number);
        self.started(number);
        self.ack();
    }

    /// The final reports on an execution so far.
    pub fn outcomes(&self, number: u64) -> Vec<&Outcome> {
        let finished = self.reports.iter().filter(|report| report.execution == id(number));
        finished
            .filter_map(|report| match &report.event {
                ReportEvent::Finished { outcome, .. } => Some(outcome),
                _ => None,
            })
            .collect()
    }

    /// How the execution failed, in its only final report.
    pub fn class(&self, number: u64) -> Option<FailureClass> {
        let outcomes = self.outcomes(number);
        assert_eq!(outcomes.len(), 1, "final reports of {number}");
        outcomes[0].failure.as_ref().map(|failure| failure.class)
    }

    pub fn spawned(&self) -> Vec<u64> {
        let spawned = self.effects.iter().filter_map(|effect| match effect {
            Effect::Spawn(order) => Some(order.execution.0),
            _ => None,
        });
        spawned.collect()
    }

    pub fn signals(&self) -> Vec<(u64, Signal)> {
        let signals = self.effects.iter().filter_map(|effect| match effect {
            Effect::Signal { execution, signal } => Some((execution.0, *signal)),
            _ => None,
        });
        signals.collect()
    }

    /// A new agent on the same journal and clock.
    pub fn restarted(&self, commands: Vec<(ExecutionId, CommandState)>) -> Self {
        let records = self.effects.iter().filter_map(|effect| match effect {
            Effect::Journal(record) => Some(record.clone()),
            _ => None,
        });
        let store = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::RememberStore(store, epoch) => Some((store.clone(), *epoch)),
            _ => None,
        });
        let mut state = AgentState::new(Limits::default(), machine(), settings(2), store);
        state.restore(records.collect::<Vec<_>>());
        let mut bench = Self {
            state,
            now: self.now,
            link: 0,
            effects: Vec::new(),
            reports: Vec::new(),
            unacknowledged: Vec::new(),
        };
        bench.on(Event::SupervisorUp(commands));
        bench
    }
}

/// An effect in a few words.
pub fn brief(effect: &Effect) -> String {
    match effect {
        Effect::Journal(record) => {
            let name = match record {
                Record::Accepted { .. } => "accepted".to_owned(),
                Record::Changed { order } => format!("changed {}", order.revision),
                Record::Started { .. } => "started".to_owned(),
                Record::Held { suspension, .. } => format!("held {suspension:?}"),
                Record::Suspended { left, .. } => format!("suspended {left:?}"),
                Record::Resumed { .. } => "resumed".to_owned(),
                Record::Keyed { .. } => "keyed".to_owned(),
                Record::Resent(_) => "resent".to_owned(),
                Record::Stopping { reason, .. } => format!("stopping {reason:?}"),
                Record::Finished { files, .. } => format!("finished {files:?}"),
                Record::Gone { files, .. } => format!("gone {files:?}"),
            };
            format!("journal({name})")
        }
        Effect::Prepare { .. } => "prepare".to_owned(),
        Effect::Spawn(_) => "spawn".to_owned(),
        Effect::Signal { signal, .. } => format!("signal({signal:?})"),
        Effect::ForgetCommand(_) => "forget command".to_owned(),
        Effect::Upload(_) => "upload".to_owned(),
        Effect::StopTransfer(_) => "stop transfer".to_owned(),
        Effect::FollowOutput { from, .. } => {
            format!("follow output({}, {})", from.stdout, from.stderr)
        }
        Effect::FollowNewOutput { .. } => "follow new output".to_owned(),
        Effect::FinishOutput { .. } => "finish output".to_owned(),
        Effect::StopOutput(_) => "stop output".to_owned(),
        Effect::StopAllOutput => "stop all output".to_owned(),
        Effect::Discard { files, .. } => format!("discard({files:?})"),
        Effect::SendHello { held, .. } => format!("hello({} held)", held.len()),
        Effect::SendHeartbeat { phases, .. } => format!("heartbeat({phases:?})"),
        Effect::SendEvicted { reason, .. } => format!("evicted({reason})"),
        Effect::Redial { .. } => "redial".to_owned(),
        Effect::RememberStore(..) => "remember store".to_owned(),
        Effect::RememberToken(_) => "remember token".to_owned(),
        Effect::Clean(what) => format!("clean({what:?})"),
        Effect::Restart => "restart".to_owned(),
        Effect::Exit => "exit".to_owned(),
    }
}
