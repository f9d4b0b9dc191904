//! Drives a [`State`] by hand: a manual clock, agents without links, and the
//! invariants checked after every command.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::api::link::{Held, Report, ReportEvent, Verdict};
use crate::api::task::{Dependents, Unfit};
use crate::api::worker::UpdateWorker;
use crate::domain::demand::Demand;
use crate::domain::execution::{ExecutionState, FailureClass, Outcome, OutputSizes, Phase};
use crate::domain::task::{Hold, TaskState, Until};
use crate::domain::worker::{Machine, WorkerSettings};
use crate::domain::{
    BatchId, Epoch, ExecutionId, JobId, Monotonic, Now, StoreId, TaskId, Timestamp, TokenId,
    WorkerId,
};

use super::super::change::NextIds;
use super::super::command::{Connect, Connected, NewTask, Pulse, Received};
use super::super::state::{Counters, LinkId, Policy, Requirement};
use super::super::{ChangeSet, Command, Context, Effect, Refusal, Reply, State};

/// A state with all that surrounds it.
pub(in crate::server) struct Bench {
    pub state: State,
    pub now: Now,
    /// All that was changed since it was last taken.
    pub changes: ChangeSet,
    /// Of the last command.
    pub effects: Vec<Effect>,
    /// Every task that people see, as the changes told it.
    pub model: BTreeMap<TaskId, Modelled>,
    next_link: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Modelled {
    pub batch: BatchId,
    pub state: TaskState,
    pub hidden: bool,
}

pub(in crate::server) const START: Now =
    Now { wall: Timestamp(1_000_000_000_000), monotonic: Monotonic(Duration::from_hours(1)) };

pub(in crate::server) const FIRST_IDS: NextIds = NextIds {
    task: TaskId(1),
    execution: ExecutionId(1),
    worker: WorkerId(1),
    batch: BatchId(1),
    token: TokenId(1),
    job: JobId(1),
};

/// A task of a batch, with a spec that says the same.
pub(in crate::server) fn new_task(batch: &str, retry: u32, after: &[TaskId]) -> NewTask {
    let after = after.to_vec();
    let spec = serde_json::json!({
        "command": "true", "batch": batch, "retry": retry, "after": after,
    });
    NewTask {
        name: None,
        batch: batch.parse().unwrap(),
        retry,
        priority: 0,
        demand: Demand::default(),
        tags: BTreeMap::new(),
        after: after.into_iter().map(|task| Requirement { task, until: Until::Success }).collect(),
        after_batch: Vec::new(),
        hold: Hold::No,
        spec: spec.to_string().into(),
    }
}

/// The hello of an agent that holds nothing.
pub(in crate::server) fn hello(link: LinkId, name: &str, slots: u32, prefetch: u32) -> Connect {
    Connect {
        link,
        bound_to: None,
        new_token: None,
        name: name.into(),
        machine: Machine {
            machine_id: name.to_owned(),
            cores: 4,
            memory_bytes: 8 << 30,
            ..Machine::default()
        },
        version: "2".to_owned(),
        instance: "first".to_owned(),
        settings: WorkerSettings {
            batch: "Default".parse().unwrap(),
            concurrency: slots,
            prefetch,
        },
        store: Some((StoreId("store".to_owned()), Epoch(1))),
        held: Vec::new(),
        draining: false,
        orphans: Vec::new(),
    }
}

/// How an execution ended: well, or in that way.
pub(in crate::server) fn outcome(class: Option<FailureClass>) -> Outcome {
    class.map_or(
        Outcome { failure: None, exit_code: Some(0), signal: None, usage: None, reused: None },
        |class| Outcome::without_run(class, "for the test"),
    )
}

pub(in crate::server) fn finished(class: Option<FailureClass>) -> ReportEvent {
    ReportEvent::Finished {
        outcome: outcome(class),
        output: OutputSizes::default(),
        ended_at: None,
        cached: None,
    }
}

/// The part of a live state that outlives a restart, as a text to compare.
pub(in crate::server) fn lasting(state: &State) -> String {
    let mut text = format!("{:?} {:?} {:?}\n", state.store, state.epoch, state.next);
    let tasks: BTreeMap<_, _> =
        state.tasks.iter().filter(|(_, task)| !task.life.state().is_final()).collect();
    for (id, task) in tasks {
        let required = state.requirements.get(&id);
        writeln!(text, "task {id} {task:?} requires {required:?}").unwrap();
    }
    for (id, execution) in state.executions.iter().collect::<BTreeMap<_, _>>() {
        writeln!(text, "execution {id} {:?} on {}", execution.row, execution.worker).unwrap();
    }
    for (id, batch) in state.batches.iter().collect::<BTreeMap<_, _>>() {
        // The name of a deleted one is another's.
        let name = (!batch.deleted).then_some(&batch.name);
        let (pause, settings) = (batch.pause, &batch.settings);
        writeln!(text, "batch {id} {name:?} {:?} {pause} {settings:?}", batch.counters).unwrap();
        let (first, count) = (batch.ready.first(), batch.ready.len());
        writeln!(text, "  ready {count} from {first:?} workers {:?}", batch.workers).unwrap();
    }
    for (id, worker) in &state.workers {
        let executions: std::collections::BTreeSet<_> = worker.executions.iter().collect();
        writeln!(
            text,
            "worker {id} {:?} {:?} {:?} {:?} {} {} holds {} of {executions:?}",
            worker.name,
            worker.machine,
            worker.settings,
            worker.wanted,
            worker.succeeded,
            worker.failed,
            worker.held,
        )
        .unwrap();
        writeln!(text, "  hired {:?}", worker.hire).unwrap();
    }
    for (id, job) in &state.hiring.jobs {
        writeln!(text, "job {id} {:?}", job.row).unwrap();
    }
    writeln!(text, "recruiters {:?}", state.hiring.recruiters).unwrap();
    writeln!(text, "tokens {:?}", state.tokens).unwrap();
    let waits: BTreeMap<_, _> = state.waits_after_end.iter().collect();
    writeln!(text, "wait once they have ended {waits:?}").unwrap();
    text
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    pub(in crate::server) fn new() -> Self {
        let store = StoreId("store".to_owned());
        Self::over(State::new(Policy::default(), store, Epoch(1), FIRST_IDS))
    }

    /// Over a state that exists.
    pub(in crate::server) fn over(state: State) -> Self {
        Self {
            state,
            now: START,
            changes: ChangeSet::default(),
            effects: Vec::new(),
            model: BTreeMap::new(),
            next_link: 1,
        }
    }

    /// Applies a command and checks all that must hold afterwards.
    pub(in crate::server) fn apply(&mut self, command: Command) -> Result<Reply, Refusal> {
        let told = format!("{command:?}");
        let before = format!("{:?} {:?}", self.state, self.changes);
        self.effects.clear();
        let actor: Arc<str> = "tester".into();
        let mut context = Context {
            now: self.now,
            actor: &actor,
            changes: &mut self.changes,
            effects: &mut self.effects,
        };
        let answer = self.state.apply(&mut context, command);
        self.state.complete(&mut self.changes);
        if answer.is_err() {
            let after = format!("{:?} {:?}", self.state, self.changes);
            assert_eq!(before, after, "a refusal changed something: {told}");
            assert_eq!(self.effects, []);
        }
        assert_eq!(self.state.violations(), [], "after {told}");
        self.follow_changes();
        self.check_counters(&told);
        answer
    }

    /// Lets time pass, and the engine look at it.
    pub(in crate::server) fn pass(&mut self, seconds: u64) {
        let wait = Duration::from_secs(seconds);
        self.now.monotonic = self.now.monotonic.after(wait);
        self.now.wall.0 += i64::try_from(wait.as_micros()).unwrap();
        self.apply(Command::Tick).unwrap();
    }

    /// Lets time pass in steps of a heartbeat, in which those workers are heard.
    pub(in crate::server) fn pass_with(&mut self, seconds: u64, heard: &[WorkerId]) {
        for _ in 0..seconds / 5 {
            for worker in heard {
                self.heartbeat(*worker).unwrap();
            }
            self.pass(5);
        }
    }

    // People.

    pub(in crate::server) fn create(&mut self, retry: u32, after: &[TaskId]) -> TaskId {
        let command = Command::CreateTasks(vec![new_task("Default", retry, after)]);
        let Ok(Reply::Created { first, count: 1 }) = self.apply(command) else { panic!() };
        first
    }

    pub(in crate::server) fn cancel(&mut self, task: TaskId) -> Result<Reply, Refusal> {
        self.apply(Command::CancelTasks { tasks: vec![task], unfit: Unfit::Refuse })
    }

    pub(in crate::server) fn relaunch(&mut self, task: TaskId) {
        self.apply(Command::RelaunchTasks { tasks: vec![task], unfit: Unfit::Refuse }).unwrap();
    }

    pub(in crate::server) fn delete(
        &mut self,
        task: TaskId,
        dependents: Dependents,
    ) -> Result<Reply, Refusal> {
        self.apply(Command::DeleteTasks { tasks: vec![task], dependents, unfit: Unfit::Refuse })
    }

    pub(in crate::server) fn update(&mut self, worker: WorkerId, update: UpdateWorker) {
        self.apply(Command::UpdateWorker { worker, update }).unwrap();
    }

    // Agents.

    /// Connects an agent that holds nothing.
    pub(in crate::server) fn connect(&mut self, name: &str, slots: u32, prefetch: u32) -> WorkerId {
        self.greet(name, slots, prefetch, Vec::new()).worker
    }

    /// Connects an agent that holds something.
    pub(in crate::server) fn greet(
        &mut self,
        name: &str,
        slots: u32,
        prefetch: u32,
        held: Vec<Held>,
    ) -> Connected {
        let connect = Connect { held, ..hello(self.new_link(), name, slots, prefetch) };
        let Ok(Reply::Connected(connected)) = self.apply(Command::Connect(Box::new(connect)))
        else {
            panic!("the agent was refused")
        };
        *connected
    }

    pub(in crate::server) fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }

    pub(in crate::server) fn link_of(&self, worker: WorkerId) -> LinkId {
        let worker = self.state.workers.get(&worker);
        worker.and_then(|worker| worker.link).unwrap_or(LinkId(0))
    }

    pub(in crate::server) fn disconnect(&mut self, worker: WorkerId) {
        let link = self.link_of(worker);
        self.apply(Command::Disconnect { worker, link }).unwrap();
    }

    pub(in crate::server) fn heartbeat(&mut self, worker: WorkerId) -> Result<Reply, Refusal> {
        self.apply(Command::Heartbeat {
            worker,
            link: self.link_of(worker),
            pulse: self.pulse(worker),
        })
    }

    /// What a heartbeat tells of a worker that has heard all that it was told.
    pub(in crate::server) fn pulse(&self, worker: WorkerId) -> Pulse {
        let batch = self.state.workers.get(&worker).map(|worker| worker.batch);
        let lease = batch.and_then(|batch| self.state.lost_after(batch));
        Pulse { lease, ..Pulse::default() }
    }

    /// Reports of one execution; answers the verdict on it.
    pub(in crate::server) fn report(
        &mut self,
        worker: WorkerId,
        execution: ExecutionId,
        task: TaskId,
        event: ReportEvent,
    ) -> Verdict {
        let report = Report { execution, task, revision: 0, at: self.now.wall, event };
        let reports = vec![Received { report, output: OutputSizes::default() }];
        let link = self.link_of(worker);
        let reply = self.apply(Command::Report { worker, link, reports }).unwrap();
        let Reply::Reported(verdicts) = reply else { panic!("{reply:?}") };
        verdicts.first().map_or(Verdict::Keep, |(_, verdict)| *verdict)
    }

    /// The agent of a task's execution reports of it.
    pub(in crate::server) fn tell(&mut self, task: TaskId, event: ReportEvent) -> Verdict {
        let execution = self.execution(task);
        let worker = self.worker_of(task);
        self.report(worker, execution, task, event)
    }

    pub(in crate::server) fn accept(&mut self, task: TaskId) -> Verdict {
        self.tell(task, ReportEvent::Accepted)
    }

    pub(in crate::server) fn start(&mut self, task: TaskId) -> Verdict {
        self.accept(task);
        self.tell(task, ReportEvent::Started)
    }

    pub(in crate::server) fn finish(&mut self, task: TaskId, class: Option<FailureClass>) {
        assert_eq!(self.tell(task, finished(class)), Verdict::Settled);
    }

    /// What an agent says in a hello of the execution of a task.
    pub(in crate::server) fn held(&self, task: TaskId, started: bool) -> Held {
        Held {
            execution: self.execution(task),
            task,
            revision: 0,
            phase: if started { Phase::Running } else { Phase::Downloading },
            accepted_at: Some(self.now.wall),
            started_at: started.then_some(self.now.wall),
            ended: false,
        }
    }

    // Questions.

    /// The state of a task that people see; none for one that is deleted.
    pub(in crate::server) fn state(&self, task: TaskId) -> Option<TaskState> {
        self.model.get(&task).filter(|task| !task.hidden).map(|task| task.state)
    }

    /// The live execution of a task.
    pub(in crate::server) fn execution(&self, task: TaskId) -> ExecutionId {
        self.state.tasks.get(&task).and_then(|task| task.life.execution()).expect("no execution")
    }

    pub(in crate::server) fn worker_of(&self, task: TaskId) -> WorkerId {
        self.state.executions[&self.execution(task)].worker
    }

    /// How an execution ended.
    pub(in crate::server) fn end_of(
        &self,
        execution: ExecutionId,
    ) -> (ExecutionState, Option<FailureClass>) {
        let row = &self.changes.executions[&execution];
        let failure = row.outcome.as_ref().and_then(|outcome| outcome.failure.as_ref());
        (row.state, failure.map(|failure| failure.class))
    }

    /// The recorded failure of a task.
    pub(in crate::server) fn failure(&self, task: TaskId) -> Option<FailureClass> {
        self.changes.tasks[&task].entered.as_ref()?.failure.as_ref().map(|failure| failure.class)
    }

    /// The verdicts that the last command sent to agents unasked.
    pub(in crate::server) fn orders(&self) -> Vec<(ExecutionId, Verdict)> {
        let order = |effect: &Effect| match effect {
            Effect::Order { execution, verdict, .. } => Some((*execution, *verdict)),
            _ => None,
        };
        self.effects.iter().filter_map(order).collect()
    }

    fn follow_changes(&mut self) {
        let batches: BTreeMap<TaskId, BatchId> =
            self.changes.new_tasks.iter().map(|row| (row.id, row.batch)).collect();
        for (id, row) in &self.changes.tasks {
            let batch = self.model.get(id).map(|task| task.batch).or(batches.get(id).copied());
            let Some(batch) = batch else {
                // Its batch was deleted, and it is forgotten with it.
                assert!(!self.state.tasks.contains_key(id), "task {id} was never made");
                continue;
            };
            self.model.insert(*id, Modelled { batch, state: row.state, hidden: row.hidden });
        }
        for (id, (batch, _)) in &self.changes.moved_tasks {
            if let Some(task) = self.model.get_mut(id) {
                task.batch = *batch;
            }
        }
        for (id, row) in &self.changes.edited_tasks {
            if let Some(task) = self.model.get_mut(id) {
                task.batch = row.batch;
            }
        }
        for deleted in &self.changes.deleted_tasks {
            self.model.remove(&deleted.id);
        }
        let state = &self.state;
        let is_there = |batch: &BatchId| state.batches.get(batch).is_some_and(|b| !b.deleted);
        self.model.retain(|_, task| task.hidden || is_there(&task.batch));
    }

    fn check_counters(&self, told: &str) {
        let mut counted: BTreeMap<BatchId, Counters> = BTreeMap::new();
        for task in self.model.values().filter(|task| !task.hidden) {
            counted.entry(task.batch).or_default().add(task.state);
        }
        for (id, batch) in &self.state.batches {
            let expected = counted.get(id).copied().unwrap_or_default();
            assert_eq!(batch.counters, expected, "batch {id} after {told}");
        }
    }
}
