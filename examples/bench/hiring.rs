//! What it takes to decide what is hired: one evaluation of all recruiters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use scitq::domain::flavor::{Flavor, ProviderName, RegionName};
use scitq::domain::hire::{ProviderRules, Quota, Scope, Wanted};
use scitq::domain::recruiter::{Recruiter, Sizing};
use scitq::domain::worker::WorkerSettings;
use scitq::domain::{
    BatchId, BatchName, Epoch, ExecutionId, JobId, Monotonic, Now, StoreId, TaskId, Timestamp,
    TokenId, WorkerId,
};
use scitq::server::Policy;
use scitq::server::engine::change::NextIds;
use scitq::server::engine::command::NewTask;
use scitq::server::engine::hiring::{HireWorkers, HiringCommand};
use scitq::server::engine::{ChangeSet, Command, Context, State};

use super::table::Table;

const WORKERS: u32 = 10_000;
const RECRUITERS: usize = 200;
const FLAVORS: usize = 5_000;
const REGIONS: usize = 30;
/// Evaluations; the median counts.
const ROUNDS: usize = 15;

const NOW: Now =
    Now { wall: Timestamp(1_000_000_000_000), monotonic: Monotonic(Duration::from_hours(1)) };

pub fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut state = filled()?;
    let batches: Vec<BatchId> = state.batches.keys().copied().collect();
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let plans = state.plan_recruitment(batches.iter().copied(), NOW.monotonic);
        times.push(start.elapsed());
        ensure!(plans.len() == RECRUITERS, "{} recruiters have decided", plans.len());
    }
    times.sort_unstable();
    let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
    let what = format!(
        "one evaluation of {RECRUITERS} recruiters: {WORKERS} workers, {FLAVORS} flavors in {REGIONS} regions"
    );
    table.alone(what, format!("{:.1} ms", median.as_secs_f64() * 1e3));
    let start = Instant::now();
    apply(&mut state, Command::Hiring(HiringCommand::Decide))?;
    table.alone("and carrying it out", format!("{:.1} ms", start.elapsed().as_secs_f64() * 1e3));
    Ok(())
}

/// A state in which each recruiter has to look for what it wants.
fn filled() -> anyhow::Result<State> {
    let first = NextIds {
        task: TaskId(1),
        execution: ExecutionId(1),
        worker: WorkerId(1),
        batch: BatchId(1),
        token: TokenId(1),
        job: JobId(1),
    };
    let mut state = State::new(Policy::default(), StoreId("bench".to_owned()), Epoch(1), first);
    let provider = ProviderName::new("cloud");
    let quota = Quota { instances: Some(400), ..Quota::default() };
    let regions = (0..REGIONS).map(|number| RegionName::new(format!("region-{number}")));
    let rules = ProviderRules {
        quotas: regions.map(|region| (region, quota)).collect(),
        ..ProviderRules::default()
    };
    let providers = vec![(provider.clone(), rules)];
    apply(
        &mut state,
        Command::Hiring(HiringCommand::SetProviders { head: "h".into(), providers }),
    )?;
    let flavors = (0..FLAVORS).map(|number| flavor(number, &provider)).collect();
    apply(&mut state, Command::Hiring(HiringCommand::SetFlavors(flavors)))?;
    for number in 0..RECRUITERS {
        let batch: BatchName = format!("batch-{number}").parse()?;
        let hire = HireWorkers {
            wanted: Wanted { flavor: "auto".to_owned(), provider: None, region: None },
            scope: Scope::Shared,
            number: WORKERS / u32::try_from(RECRUITERS)?,
            settings: WorkerSettings { batch: batch.clone(), concurrency: 1, prefetch: 0 },
        };
        apply(&mut state, Command::Hiring(HiringCommand::Hire(Box::new(hire))))?;
        let tasks = (0..100).map(|_| task(&batch)).collect();
        apply(&mut state, Command::CreateTasks(tasks))?;
        let recruiter = Box::new(Recruiter {
            // Each meets few flavors, and none of the cheap ones.
            flavor: format!("auto:cpu>={}:ram>=64:region~region-%{}", 16 + number % 8, number % 10),
            provider: Some("auto".to_owned()),
            region: Some("auto".to_owned()),
            concurrency: Sizing::Workers(1),
            prefetch: 0,
            tasks_per_worker: 1,
            minimum_tasks: None,
            maximum_workers: Some(60),
            scope: Scope::Shared,
        });
        let set = HiringCommand::SetRecruiter { batch, rank: 1, recruiter };
        apply(&mut state, Command::Hiring(set))?;
    }
    ensure!(state.workers.len() == WORKERS as usize, "{} workers", state.workers.len());
    Ok(state)
}

fn flavor(number: usize, provider: &ProviderName) -> Flavor {
    let size = u32::try_from(number / REGIONS % 32).unwrap_or(0) + 1;
    let region = RegionName::new(format!("region-{}", number % REGIONS));
    Flavor {
        ram: Some(f64::from(size) * 4.0),
        disk: Some(100.0),
        cost: Some(
            f64::from(size) * 0.05 + f64::from(u32::try_from(number % 7).unwrap_or(0)) / 1e3,
        ),
        currency: "EUR".to_owned(),
        eviction: Some(1.0),
        ..Flavor::new(format!("flavor-{number}"), provider, &region, size)
    }
}

fn task(batch: &BatchName) -> NewTask {
    NewTask {
        name: None,
        batch: batch.clone(),
        retry: 0,
        priority: 0,
        demand: scitq::domain::demand::Demand::default(),
        tags: std::collections::BTreeMap::new(),
        after: Vec::new(),
        after_batch: Vec::new(),
        hold: scitq::domain::task::Hold::No,
        spec: Arc::from("{}"),
    }
}

fn apply(state: &mut State, command: Command) -> anyhow::Result<()> {
    let actor: Arc<str> = "bench".into();
    let (mut changes, mut effects) = (ChangeSet::default(), Vec::new());
    let mut context =
        Context { now: NOW, actor: &actor, changes: &mut changes, effects: &mut effects };
    state.apply(&mut context, command).map(drop).context("a refusal")
}
