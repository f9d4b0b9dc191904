//! A day of hiring in made-up time: recruiters, a provider that evicts, refuses and
//! fails, and agents that do nothing but their work. After each step the rules hold
//! that cost money when they are broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::api::batch::{Setting, UpdateBatch, WithTasks};
use crate::api::link::{Report, ReportEvent};
use crate::domain::execution::OutputSizes;
use crate::domain::flavor::{Flavor, ProviderName, RegionName};
use crate::domain::hire::{OnEviction, ProviderRules, Quota, Scope};
use crate::domain::job::{JobAction, JobFailure, JobState};
use crate::domain::recruiter::{Recruiter, Sizing};
use crate::domain::task::TaskState;
use crate::domain::{
    BatchName, Epoch, ExecutionId, JobId, Now, StoreId, TaskId, Timestamp, WorkerId,
};

use super::super::command::{Pulse, Received};
use super::super::hiring::{HiringCommand, JobEnd, Verdict};
use super::super::state::{LinkId, Policy};
use super::super::{ChangeSet, Command, Context, Effect, State};
use super::bench::{FIRST_IDS, START, finished, hello, new_task};

/// Seconds of one step.
const STEP: u64 = 20;
const HOUR: u64 = 3600;
const BATCHES: usize = 20;
const TASKS: usize = 50_000;
/// Cores that one region has room for.
const QUOTA: u32 = 160;
const REGIONS: [&str; 3] = ["north", "south", "east"];

/// What the provider really has.
#[derive(Debug, Default)]
struct Provider {
    /// Machine → worker, for all that cost money.
    machines: BTreeMap<String, WorkerId>,
    made: usize,
    /// What it will have done by then.
    orders: BTreeMap<(u64, JobId), Order>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Make,
    Join,
    Destroy,
}

struct Day {
    state: State,
    now: Now,
    changes: ChangeSet,
    effects: Vec<Effect>,
    seed: u64,
    provider: Provider,
    /// When commands end.
    ends: BTreeSet<(u64, ExecutionId)>,
    tasks: BTreeMap<ExecutionId, TaskId>,
    links: BTreeMap<WorkerId, LinkId>,
    next_link: u64,
    second: u64,
    evictions: usize,
    paused: BTreeSet<BatchName>,
    refused: usize,
}

impl Day {
    fn new(seed: u64) -> Self {
        let policy = Policy { offline_after: Duration::from_mins(2), ..Policy::default() };
        Self {
            state: State::new(policy, StoreId("store".to_owned()), Epoch(1), FIRST_IDS),
            now: START,
            changes: ChangeSet::default(),
            effects: Vec::new(),
            seed,
            provider: Provider::default(),
            ends: BTreeSet::new(),
            tasks: BTreeMap::new(),
            links: BTreeMap::new(),
            next_link: 1,
            second: 0,
            evictions: 0,
            paused: BTreeSet::new(),
            refused: 0,
        }
    }

    /// The next number below that, from the seed.
    fn chance(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % below
    }

    fn apply(&mut self, command: Command) {
        let actor: Arc<str> = "day".into();
        let mut effects = Vec::new();
        let mut context = Context {
            now: self.now,
            actor: &actor,
            changes: &mut self.changes,
            effects: &mut effects,
        };
        // What is refused was overtaken by something else, as in life.
        if self.state.apply(&mut context, command).is_err() {
            self.refused += 1;
        }
        self.effects.extend(effects);
    }

    fn tell(&mut self, command: HiringCommand) {
        self.apply(Command::Hiring(command));
    }

    /// Recruiters decide; what was explained before is what they have done then.
    fn decide(&mut self) {
        if !self.state.hiring.wants_to_decide() {
            return;
        }
        let now = self.now.monotonic;
        let asked = self.state.hiring.unasked.clone();
        let plans = self.state.plan_recruitment(asked.iter().copied(), now);
        let hires: usize = plans.iter().map(|(_, advice)| advice.hire.len()).sum();
        let recycled: Vec<(WorkerId, crate::domain::BatchId)> = plans
            .iter()
            .flat_map(|(batch, advice)| advice.recycle.iter().map(|worker| (*worker, *batch)))
            .collect();
        let before = self.state.workers.len();
        self.tell(HiringCommand::Decide);
        assert_eq!(self.state.workers.len() - before, hires, "explained is done");
        for (worker, batch) in recycled {
            assert_eq!(self.state.workers[&worker].batch, batch, "explained is done");
        }
    }

    /// What agents do once they are told to.
    fn obey(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                if let Effect::Start { worker, execution, task, .. } = effect {
                    self.report(worker, execution, task, ReportEvent::Accepted);
                    self.report(worker, execution, task, ReportEvent::Started);
                    let end = self.second + 60 + self.chance(600);
                    self.ends.insert((end, execution));
                    self.tasks.insert(execution, task);
                }
            }
            // Rows are for a database that there is none of; ended tasks leave the memory.
            let changes = std::mem::take(&mut self.changes);
            for task in changes.ended_tasks {
                self.state.evict_task(task);
            }
        }
    }

    fn report(
        &mut self,
        worker: WorkerId,
        execution: ExecutionId,
        task: TaskId,
        event: ReportEvent,
    ) {
        let Some(link) = self.links.get(&worker).copied() else { return };
        let report = Report { execution, task, revision: 0, at: self.now.wall, event };
        let reports = vec![Received { report, output: OutputSizes::default() }];
        self.apply(Command::Report { worker, link, reports });
    }

    fn step(&mut self) {
        self.second += STEP;
        self.now.monotonic = self.now.monotonic.after(Duration::from_secs(STEP));
        self.now.wall = Timestamp(self.now.wall.0 + i64::try_from(STEP).unwrap() * 1_000_000);
        self.end_commands();
        self.work_of_provider();
        let online: Vec<(WorkerId, LinkId)> =
            self.links.iter().map(|(worker, link)| (*worker, *link)).collect();
        for (worker, link) in online {
            let pulse = Pulse { lease: Some(Duration::from_mins(10)), ..Pulse::default() };
            self.apply(Command::Heartbeat { worker, link, pulse });
        }
        self.apply(Command::Tick);
        self.decide();
        self.obey();
        self.check();
    }

    fn end_commands(&mut self) {
        while let Some((end, execution)) = self.ends.first().copied() {
            if end > self.second {
                break;
            }
            self.ends.pop_first();
            let (Some(task), Some(live)) =
                (self.tasks.remove(&execution), self.state.executions.get(&execution))
            else {
                continue;
            };
            let worker = live.worker;
            self.report(worker, execution, task, finished(None));
            self.obey();
        }
    }

    /// The provider takes its time, and is not always kind.
    fn work_of_provider(&mut self) {
        let second = self.second;
        for job in self.state.due_jobs(self.now.monotonic) {
            let action = self.state.hiring.jobs[&job].row.action;
            self.tell(HiringCommand::StartJob(job));
            let order = if action == JobAction::Destroy { Order::Destroy } else { Order::Make };
            let delay = 20 + self.chance(100);
            self.provider.orders.insert((second + delay, job), order);
        }
        while let Some(((when, job), order)) = self.provider.orders.pop_first() {
            if when > second {
                self.provider.orders.insert((when, job), order);
                break;
            }
            self.carry_out(job, order);
        }
        if self.chance(60) == 0 {
            self.evict();
        }
    }

    fn carry_out(&mut self, job: JobId, order: Order) {
        let Some(row) = self.state.hiring.jobs.get(&job).map(|job| job.row.clone()) else { return };
        let Some(worker) = row.worker else { return };
        let machine = format!("{} {}", row.worker_name, row.region);
        let fail = |failure| JobEnd::Failed { failure, reason: "no".into(), retry_after: None };
        match order {
            Order::Destroy if self.chance(10) == 0 => {
                self.tell(HiringCommand::EndJob { job, end: fail(JobFailure::Transient) });
            }
            Order::Destroy => {
                self.provider.machines.retain(|_, of| *of != worker);
                self.links.remove(&worker);
                self.tell(HiringCommand::EndJob { job, end: JobEnd::Done });
            }
            Order::Make if row.cancelled => {
                self.tell(HiringCommand::EndJob { job, end: fail(JobFailure::Cancelled) });
            }
            Order::Make => {
                let failure = match self.chance(40) {
                    0 => Some(JobFailure::Capacity),
                    1 => Some(JobFailure::Quota),
                    2 | 3 => Some(JobFailure::Transient),
                    _ => None,
                };
                if let Some(failure) = failure {
                    self.tell(HiringCommand::EndJob { job, end: fail(failure) });
                    return;
                }
                self.provider.machines.insert(machine.clone(), worker);
                self.provider.made += 1;
                self.tell(HiringCommand::Made { job, machine });
                let delay = 20 + self.chance(60);
                self.provider.orders.insert((self.second + delay, job), Order::Join);
            }
            Order::Join => self.join(job, worker, &row.worker_name),
        }
    }

    fn join(&mut self, job: JobId, worker: WorkerId, name: &str) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let mut connect = hello(link, name, 1, 0);
        connect.bound_to = Some(worker);
        connect.instance = format!("{link:?}");
        self.links.insert(worker, link);
        self.apply(Command::Connect(Box::new(connect)));
        self.tell(HiringCommand::EndJob { job, end: JobEnd::Done });
    }

    fn evict(&mut self) {
        let there: Vec<WorkerId> = self.links.keys().copied().collect();
        if there.is_empty() {
            return;
        }
        let chosen = usize::try_from(self.chance(there.len() as u64)).unwrap();
        let worker = there[chosen];
        self.evictions += 1;
        let command = Command::EvictWorker { worker, link: None, reason: "spot".to_owned() };
        self.apply(command);
        self.links.remove(&worker);
        self.apply(Command::Disconnect { worker, link: LinkId(0) });
    }

    /// The rules.
    fn check(&self) {
        let state = &self.state;
        let mut cores: BTreeMap<&str, u32> = BTreeMap::new();
        for hire in state.workers.values().filter_map(|worker| worker.hire.as_deref()) {
            *cores.entry(hire.region.as_str()).or_default() += hire.cpu;
        }
        assert!(cores.values().all(|cores| *cores <= QUOTA), "a quota is exceeded: {cores:?}");
        for (id, batch) in &state.batches {
            let hired = batch.workers.iter().filter(|worker| {
                state.workers[*worker].hire.is_some() && !state.workers[*worker].deleting
            });
            let most = batch.settings.maximum_workers.map_or(usize::MAX, |most| most as usize);
            assert!(hired.count() <= most, "batch {} has too many workers", batch.name);
            let cost: f64 = state.hourly_cost(*id).values().sum();
            let limit = batch.settings.maximum_cost.map_or(f64::INFINITY, f64::from);
            // Machines of before that are on their way out still cost.
            let leaving: f64 = batch
                .workers
                .iter()
                .filter(|worker| state.workers[*worker].deleting)
                .filter_map(|worker| state.workers[worker].hire.as_ref()?.cost)
                .sum();
            assert!(cost - leaving <= limit + 1e-6, "batch {} costs too much", batch.name);
        }
        let idle = Duration::from_secs(3600 + 2 * STEP);
        for (worker, since) in &state.hiring.idle_since {
            let of = &state.workers[worker];
            let usual = if of.succeeded > 0 { Duration::from_secs(300 + 2 * STEP) } else { idle };
            let time = self.now.monotonic.since(*since);
            assert!(of.deleting || time <= usual, "worker {worker} idles for {time:?}");
        }
        self.check_starvation();
    }

    /// A batch with pending tasks has a worker, or is told why it has none.
    fn check_starvation(&self) {
        let plans =
            self.state.plan_recruitment(self.state.batches.keys().copied(), self.now.monotonic);
        for (id, advice) in plans {
            let batch = &self.state.batches[&id];
            let pending = batch.counters.get(TaskState::Pending);
            if pending == 0 || self.paused.contains(&batch.name) {
                assert!(advice.hire.is_empty(), "{}: {}", batch.name, advice.verdict);
                continue;
            }
            let is_told = !matches!(advice.verdict, Verdict::NothingPending | Verdict::Paused);
            assert!(is_told, "{}: {}", batch.name, advice.verdict);
            let has_worker = batch.workers.iter().any(|worker| {
                let worker = &self.state.workers[worker];
                !worker.deleting && worker.hire.is_some()
            });
            let has_reason = matches!(
                advice.verdict,
                Verdict::NoneToHire { .. } | Verdict::CostLimit { .. } | Verdict::Gets { .. }
            );
            assert!(has_worker || has_reason, "{}: {}", batch.name, advice.verdict);
        }
    }
}

fn flavors() -> Vec<Flavor> {
    let sizes = [(2, 0.1), (4, 0.2), (8, 0.38), (16, 0.8)];
    let of = |region: &'static str| {
        sizes.into_iter().map(move |(cpu, cost)| Flavor {
            ram: Some(f64::from(cpu) * 4.0),
            cost: Some(cost),
            currency: "EUR".to_owned(),
            eviction: Some(3.0),
            ..Flavor::new(
                format!("c{cpu}"),
                &ProviderName::new("cloud"),
                &RegionName::new(region),
                cpu,
            )
        })
    };
    REGIONS.into_iter().flat_map(of).collect()
}

fn set_up(day: &mut Day) -> Vec<BatchName> {
    let quota = Quota { cpus: Some(QUOTA), ..Quota::default() };
    let rules = ProviderRules {
        quotas: REGIONS.into_iter().map(|region| (RegionName::new(region), quota)).collect(),
        on_eviction: OnEviction::Replace,
        preferred_region: Some("n%".to_owned()),
        ..ProviderRules::default()
    };
    let providers = vec![(ProviderName::new("cloud"), rules)];
    day.tell(HiringCommand::SetProviders { head: "lab".into(), providers });
    day.tell(HiringCommand::SetFlavors(flavors()));
    let names: Vec<BatchName> =
        (0..BATCHES).map(|number| format!("b{number}").parse().unwrap()).collect();
    for (number, batch) in names.iter().enumerate() {
        let recruiter = Recruiter {
            flavor: ["auto:cpu>=4", "auto:cpu>=8:cost<0.5", "c2", "auto"][number % 4].to_owned(),
            provider: Some("auto".to_owned()),
            region: Some("auto".to_owned()),
            concurrency: Sizing::PerTask { cpu: Some(1), memory: None },
            prefetch: 1,
            tasks_per_worker: 20,
            minimum_tasks: None,
            maximum_workers: Some(12),
            scope: Scope::Shared,
        };
        let (batch, recruiter) = (batch.clone(), Box::new(recruiter));
        let update = UpdateBatch {
            maximum_workers: Some(Setting::Value(12)),
            maximum_cost: (number % 3 == 0).then(|| Setting::Value("2.5".parse().unwrap())),
            ..UpdateBatch::default()
        };
        day.apply(Command::UpdateBatch { batch: batch.clone(), update });
        day.tell(HiringCommand::SetRecruiter { batch, rank: 1, recruiter });
    }
    names
}

#[test]
fn a_day_of_batches_is_worked_off_within_all_limits_and_leaves_no_machine() {
    let mut day = Day::new(7);
    let names = set_up(&mut day);
    let per_batch = TASKS / BATCHES;
    let mut queued = 0;
    let mut idle_steps = 0;
    // Each batch comes at an hour of its own, in ten parts.
    while idle_steps < 2 * HOUR / STEP + 30 {
        for (number, name) in names.iter().enumerate() {
            let begins = number as u64 * HOUR / 2;
            let part = (day.second.saturating_sub(begins)) / 600;
            let is_time = day.second >= begins && day.second.is_multiple_of(600) && part < 10;
            if is_time {
                let text = name.as_str();
                let tasks = (0..per_batch / 10).map(|_| new_task(text, 0, &[])).collect();
                queued += per_batch / 10;
                day.apply(Command::CreateTasks(tasks));
            }
            // Every fourth is paused for an hour in its middle.
            let with = WithTasks::default();
            if number % 4 == 0 && day.second == begins + HOUR {
                day.paused.insert(name.clone());
                day.apply(Command::PauseBatch { batch: name.clone(), with });
            }
            if number % 4 == 0 && day.second == begins + 2 * HOUR {
                day.paused.remove(name);
                day.apply(Command::GoBatch { batch: name.clone(), with });
            }
        }
        day.step();
        let left: u64 = [TaskState::Pending, TaskState::Running, TaskState::Assigned]
            .into_iter()
            .map(|state| day.state.count_tasks().get(state))
            .sum();
        idle_steps = if left == 0 && queued == TASKS { idle_steps + 1 } else { 0 };
        assert!(day.second < 48 * HOUR, "{left} tasks are left after two days");
    }
    assert_eq!(day.state.count_tasks().get(TaskState::Succeeded), TASKS as u64);
    assert_eq!(day.provider.machines, BTreeMap::new(), "each machine was destroyed");
    assert!(day.state.workers.is_empty(), "and each worker is gone");
    assert!(day.provider.made > 100 && day.evictions > 10, "{} evictions", day.evictions);
    assert_eq!(day.state.violations(), []);
    let live = day.state.hiring.jobs.values().filter(|job| !job.row.state.is_final());
    assert_eq!(live.count(), 0);
    let ended = day.state.hiring.jobs.values().map(|job| job.row.state);
    assert!(ended.into_iter().any(|state| state == JobState::Failed), "some failed");
    let spent: f64 =
        day.state.batches.values().map(|batch| batch.spent.values().sum::<f64>()).sum();
    assert!(spent > 10.0, "{spent}");
}
