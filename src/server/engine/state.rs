//! The live state: everything that may still change, and nothing that has ended.
//!
//! Ended tasks and executions live in the database only, so memory and the
//! time of every decision depend on the work ahead, not on the work done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use strum::{EnumCount, IntoEnumIterator};

use crate::api::worker::Orphan;
use crate::domain::batch::{BatchPause, BatchSettings, LostAfter};
use crate::domain::demand::Demand;
use crate::domain::execution::{ExecutionState, Phase, TransferProgress};
use crate::domain::hire::Hire;
use crate::domain::task::{Hold, TaskLife, TaskState, Until};
use crate::domain::worker::{
    Machine, SeenState, WantedState, WorkerSettings, WorkerState, WorkerStats,
};
use crate::domain::{
    BatchId, BatchName, Epoch, ExecutionId, Monotonic, StoreId, TaskId, Timestamp, TokenId,
    WorkerId,
};

use super::change::{BatchRow, ExecutionRow, NextIds};
use super::hiring::Hiring;
use super::ready::Ready;
use super::runtimes::Runtimes;
use super::settle::Settling;
use super::task_table::TaskTable;
use super::throughput::Throughput;

/// Limits and waiting times that decisions use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Silent for longer, a worker is offline, and what it has not accepted goes back.
    pub offline_after: Duration,
    /// Silent for longer, a worker is lost, and all it holds goes back. None:
    /// never. A batch can have a limit of its own.
    pub lost_after: Option<Duration>,
    /// So many losses of its executions fail a task: a task that kills its
    /// machines must not walk through the cluster.
    pub most_losses: u32,
    /// So many tasks in a row that a worker failed for reasons of its own take
    /// it out of service.
    pub most_faults: usize,
    /// A task that was passed over for so long, since it asks for much, gets a
    /// worker reserved for it.
    pub patience: Duration,
    /// How long replies are kept for repetitions of their request.
    pub keep_replies: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            offline_after: Duration::from_secs(15),
            lost_after: Some(Duration::from_mins(10)),
            most_losses: 5,
            most_faults: 5,
            patience: Duration::from_mins(10),
            keep_replies: Duration::from_hours(24),
        }
    }
}

/// Tasks per state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters([u64; TaskState::COUNT]);

/// The live state. See the module's documentation.
#[derive(Debug)]
pub struct State {
    pub policy: Policy,
    pub store: StoreId,
    pub epoch: Epoch,
    pub next: NextIds,
    pub tasks: TaskTable,
    pub executions: FxHashMap<ExecutionId, Execution>,
    pub workers: BTreeMap<WorkerId, Worker>,
    pub batches: FxHashMap<BatchId, Batch>,
    pub batch_ids: FxHashMap<BatchName, BatchId>,
    /// Tokens that hold, with the worker to which an agent's is bound.
    pub tokens: BTreeMap<TokenId, Option<WorkerId>>,
    /// Task of the live state → all that it requires, met or not.
    pub requirements: FxHashMap<TaskId, Vec<Requirement>>,
    /// Required task → the tasks of the live state that require it: the
    /// inverse of `requirements`.
    pub dependents: FxHashMap<TaskId, BTreeSet<TaskId>>,
    /// Tasks that were edited under way, and wait for so many others once their
    /// execution has ended.
    pub waits_after_end: FxHashMap<TaskId, u32>,
    /// Set for a while after a start with a copy of the database.
    pub settling: Option<Settling>,
    /// Workers that hold executions which this database does not know.
    pub orphan_holders: BTreeSet<WorkerId>,
    pub hiring: Hiring,
}

/// A task that has not ended, or whose end is not on disk yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    pub life: TaskLife,
    pub batch: BatchId,
    /// The latest execution.
    pub execution: Option<ExecutionId>,
    pub attempts: u32,
    /// The budget that the spec names.
    pub retry: u32,
    pub retries_left: u32,
    pub losses: u32,
    pub priority: i32,
    pub demand: Demand,
    pub hold: Hold,
    /// How often it was edited.
    pub revision: u32,
    /// Deleted, and only here until its execution has ended.
    pub hidden: bool,
}

/// What one task asks of another before it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    pub task: TaskId,
    pub until: Until,
}

/// An execution that has not ended.
#[derive(Debug, Clone)]
pub struct Execution {
    pub row: ExecutionRow,
    pub worker: WorkerId,
    pub phase: Phase,
    /// How its download or upload gets on, as the last heartbeat told.
    pub transfer: Option<TransferProgress>,
    /// When a heartbeat told that its data are complete. Stored once the command starts.
    pub ready_at: Option<Timestamp>,
    /// Slots that it takes of its worker.
    pub slots: u32,
}

#[derive(Debug)]
pub struct Batch {
    pub name: BatchName,
    pub pause: BatchPause,
    pub settings: BatchSettings,
    pub runtimes: Runtimes,
    /// What hired machines that are gone have cost, by currency.
    pub spent: BTreeMap<String, f64>,
    /// Deleted, and only here until its last execution has ended.
    pub deleted: bool,
    pub counters: Counters,
    /// Lately ended tasks.
    pub throughput: Throughput,
    /// Pending tasks in the order of their turn.
    pub ready: Ready,
    /// Workers that can take one more, least loaded first.
    pub candidates: BTreeSet<(u64, WorkerId)>,
    /// Workers that have more room than when tasks were last given out.
    pub freed: BTreeSet<WorkerId>,
    /// Workers that take nothing but this task, which needs much room.
    pub reserved: BTreeMap<WorkerId, TaskId>,
    pub workers: BTreeSet<WorkerId>,
    /// Those of the workers that can run containers.
    pub engines: BTreeSet<WorkerId>,
}

#[derive(Debug)]
pub struct Worker {
    pub name: Arc<str>,
    pub machine: Machine,
    pub settings: WorkerSettings,
    pub batch: BatchId,
    pub wanted: WantedState,
    pub seen: SeenState,
    /// Why it was taken out of service.
    pub failure: Option<Arc<str>>,
    /// Different tasks that it failed in a row for reasons of its own.
    pub faults: Vec<TaskId>,
    /// What its agent holds and this server does not know.
    pub orphans: Vec<Orphan>,
    /// How far the images that it fetches were at its last heartbeat, in words.
    pub pulls: Vec<(ExecutionId, String)>,
    /// The silence after which its agent believes that it has lost its tasks;
    /// none: never.
    pub agent_lease: Option<Duration>,
    pub version: String,
    pub succeeded: u64,
    pub failed: u64,
    pub registered_at: Timestamp,
    pub created_by: Arc<str>,
    /// The link over which it can be reached now.
    pub link: Option<LinkId>,
    /// The agent process behind that link.
    pub instance: String,
    pub last_heard: Monotonic,
    pub last_contact: Option<Timestamp>,
    pub stats: Option<WorkerStats>,
    /// Those of its executions whose data are on their way.
    pub transfers: Vec<ExecutionId>,
    pub executions: FxHashSet<ExecutionId>,
    /// The slots that they take of its capacity; uploading ones take none.
    pub held: u32,
    /// The task for which it keeps all its room.
    pub reserved_for: Option<TaskId>,
    /// Its place in the candidates of its batch.
    pub candidate_key: Option<u64>,
    /// Its agent drains: it takes nothing new and leaves when it has nothing left.
    pub leaving: bool,
    /// Goes when its last execution has ended.
    pub deleting: bool,
    /// Its machine, where that was hired.
    pub hire: Option<Box<Hire>>,
}

/// Numbers the links of one server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl Counters {
    #[must_use]
    pub const fn get(&self, state: TaskState) -> u64 {
        self.0[state as usize]
    }

    pub const fn set(&mut self, state: TaskState, count: u64) {
        self.0[state as usize] = count;
    }

    pub const fn add(&mut self, state: TaskState) {
        self.0[state as usize] += 1;
    }

    /// Takes one away. Counters are derived from the same changes as the rows;
    /// below zero they would already be wrong, so they stop there and the
    /// check of the invariants tells.
    pub const fn remove(&mut self, state: TaskState) {
        self.0[state as usize] = self.0[state as usize].saturating_sub(1);
    }

    /// All states with their counts.
    #[must_use]
    pub fn by_state(&self) -> BTreeMap<TaskState, u64> {
        TaskState::iter().map(|state| (state, self.get(state))).collect()
    }
}

impl Batch {
    #[must_use]
    pub fn new(name: BatchName) -> Self {
        Self {
            name,
            pause: BatchPause::No,
            settings: BatchSettings::default(),
            runtimes: Runtimes::default(),
            spent: BTreeMap::new(),
            deleted: false,
            counters: Counters::default(),
            throughput: Throughput::default(),
            ready: Ready::default(),
            candidates: BTreeSet::new(),
            freed: BTreeSet::new(),
            reserved: BTreeMap::new(),
            workers: BTreeSet::new(),
            engines: BTreeSet::new(),
        }
    }

    /// One that the database has, without its tasks and workers.
    #[must_use]
    pub fn restored(row: BatchRow) -> Self {
        let BatchRow { name, counters, pause, settings, runtimes, spent } = row;
        let deleted = name.is_none();
        Self {
            pause,
            settings,
            runtimes,
            spent,
            deleted,
            counters,
            ..Self::new(name.unwrap_or_default())
        }
    }
}

impl Requirement {
    /// Whether a task in that state meets it.
    #[must_use]
    pub const fn is_met_by(self, state: TaskState) -> bool {
        match self.until {
            Until::Success => matches!(state, TaskState::Succeeded),
            Until::End => state.is_final(),
        }
    }
}

impl Task {
    /// Gives it all its retries back, and forgets its losses.
    pub const fn refresh_budgets(&mut self) {
        self.retries_left = self.retry;
        self.losses = 0;
    }
}

impl Execution {
    /// One that the database has as not ended.
    #[must_use]
    pub fn restored(row: ExecutionRow, worker: WorkerId) -> Self {
        let phase = match row.state {
            ExecutionState::Running if row.ended_at.is_some() => Phase::Uploading,
            ExecutionState::Running => Phase::Running,
            _ => Phase::Downloading,
        };
        Self { row, worker, phase, transfer: None, ready_at: None, slots: 1 }
    }
}

impl Worker {
    /// The one word for it.
    #[must_use]
    pub const fn state(&self) -> WorkerState {
        WorkerState::derive(self.wanted, self.seen_state())
    }

    /// How the server sees it. One that was taken out of service is `failed` for
    /// as long as it can be heard.
    #[must_use]
    pub const fn seen_state(&self) -> SeenState {
        match self.seen {
            SeenState::Online if self.failure.is_some() => SeenState::Failed,
            seen => seen,
        }
    }

    /// Whether it takes anything new.
    #[must_use]
    pub const fn takes_work(&self) -> bool {
        self.link.is_some()
            && !self.deleting
            && !self.leaving
            && self.failure.is_none()
            && matches!(self.seen, SeenState::Online)
            && matches!(self.wanted, WantedState::Running)
    }

    /// The slots that a task takes here, or none if it never fits.
    #[must_use]
    pub fn slots_for(&self, demand: Demand) -> Option<u32> {
        if demand == Demand::default() {
            return Some(1);
        }
        demand.slots_on(&self.machine, self.settings.concurrency)
    }

    /// Whether it has room for what a task asks.
    #[must_use]
    pub fn fits(&self, demand: Demand) -> bool {
        let room = u64::from(self.settings.concurrency) + u64::from(self.settings.prefetch);
        self.slots_for(demand).is_some_and(|slots| u64::from(self.held) + u64::from(slots) <= room)
    }

    /// Its place among the workers that can take one more execution, or none:
    /// workers with a free slot come first, least loaded in proportion to their
    /// size; then those that prefetch, likewise.
    #[must_use]
    pub fn load_key(&self) -> Option<u64> {
        const ONE: u64 = 1 << 20;
        let takes = self.takes_work() && self.reserved_for.is_none();
        let (held, slots, prefetch) = (
            u64::from(self.held),
            u64::from(self.settings.concurrency),
            u64::from(self.settings.prefetch),
        );
        if !takes || slots == 0 || held >= slots + prefetch {
            None
        } else if held < slots {
            Some(held * ONE / slots)
        } else {
            Some(ONE + (held - slots) * ONE / prefetch)
        }
    }
}

impl State {
    /// An empty state.
    #[must_use]
    pub fn new(policy: Policy, store: StoreId, epoch: Epoch, next: NextIds) -> Self {
        Self {
            policy,
            store,
            epoch,
            next,
            tasks: TaskTable::default(),
            executions: FxHashMap::default(),
            workers: BTreeMap::new(),
            batches: FxHashMap::default(),
            batch_ids: FxHashMap::default(),
            tokens: BTreeMap::new(),
            requirements: FxHashMap::default(),
            dependents: FxHashMap::default(),
            waits_after_end: FxHashMap::default(),
            settling: None,
            orphan_holders: BTreeSet::new(),
            hiring: Hiring::default(),
        }
    }

    /// Puts back a task that has not ended, as the database has it. The
    /// counters of its batch have it already.
    pub fn restore_task(&mut self, id: TaskId, task: Task) {
        if task.life == TaskLife::Pending
            && let Some(batch) = self.batches.get_mut(&task.batch)
        {
            batch.ready.insert(id, &task);
        }
        self.tasks.insert(id, task);
    }

    /// Puts back an execution that has not ended, as the database has it.
    pub fn restore_execution(&mut self, id: ExecutionId, mut execution: Execution) {
        execution.slots = self.slots_of(execution.row.task, execution.worker);
        self.attach_execution(id, execution);
    }

    /// Puts an ended task into the live state for as long as a command needs it.
    pub fn recall_task(&mut self, id: TaskId, task: Task, requirements: Vec<Requirement>) {
        self.tasks.insert(id, task);
        self.note_requirements(id, requirements);
    }

    /// Takes a task whose end is on disk out of the live state.
    pub fn evict_task(&mut self, id: TaskId) {
        if self.tasks.get(&id).is_some_and(|task| task.life.state().is_final()) {
            self.tasks.remove(&id);
            self.forget_requirements(id);
        }
    }

    /// Notes all that a task of the live state requires.
    pub fn note_requirements(&mut self, id: TaskId, requirements: Vec<Requirement>) {
        for required in &requirements {
            self.dependents.entry(required.task).or_default().insert(id);
        }
        if !requirements.is_empty() {
            self.requirements.insert(id, requirements);
        }
    }

    /// Forgets what a task requires that leaves the live state.
    pub(super) fn forget_requirements(&mut self, id: TaskId) {
        for required in self.requirements.remove(&id).unwrap_or_default() {
            if let Some(others) = self.dependents.get_mut(&required.task) {
                others.remove(&id);
                if others.is_empty() {
                    self.dependents.remove(&required.task);
                }
            }
        }
    }

    /// The slots that an execution of a task takes of its worker: all of them
    /// where the machine has become too small for it.
    pub(super) fn slots_of(&self, task: TaskId, worker: WorkerId) -> u32 {
        let demand = self.tasks.get(&task).map(|task| task.demand).unwrap_or_default();
        let Some(worker) = self.workers.get(&worker) else { return 1 };
        worker.slots_for(demand).unwrap_or_else(|| worker.settings.concurrency.max(1))
    }

    /// After what silence a worker has lost its tasks, as its batch has it. None:
    /// never.
    #[must_use]
    pub fn lost_after(&self, batch: BatchId) -> Option<Duration> {
        let setting = self.batches.get(&batch).and_then(|batch| batch.settings.lost_after);
        match setting {
            None => self.policy.lost_after,
            Some(LostAfter::Never) => None,
            Some(LostAfter::Seconds(seconds)) => Some(Duration::from_secs(seconds.into())),
        }
    }

    /// The batch of that name, if there is one.
    #[must_use]
    pub fn find_batch(&self, name: &BatchName) -> Option<&Batch> {
        self.batch_ids.get(name).and_then(|id| self.batches.get(id))
    }

    /// Tasks per state over all batches.
    #[must_use]
    pub fn count_tasks(&self) -> Counters {
        let mut total = Counters::default();
        for batch in self.batches.values() {
            for state in TaskState::iter() {
                total.set(state, total.get(state) + batch.counters.get(state));
            }
        }
        total
    }
}
