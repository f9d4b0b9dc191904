//! Machines that are hired, and what becomes of them.

use std::time::Duration;

use proptest::prelude::*;

use crate::domain::JobId;
use crate::domain::WorkerId;
use crate::domain::flavor::{Flavor, ProviderName, RegionName};
use crate::domain::hire::{OnEviction, ProviderRules, Quota, Scope, Wanted};
use crate::domain::job::{JobAction, JobFailure, JobState};
use crate::domain::recruiter::{Recruiter, Sizing};
use crate::domain::worker::{SeenState, WorkerSettings};

use super::super::hiring::{HireWorkers, HiringCommand, JobEnd};
use super::super::{Command, Refusal, Reply};
use super::bench::*;

const HERE: &str = "here";

fn flavor(name: &str, cpu: u32, cost: f64) -> Flavor {
    Flavor {
        cost: Some(cost),
        currency: "EUR".to_owned(),
        ram: Some(f64::from(cpu) * 4.0),
        ..Flavor::new(name, &ProviderName::new("cloud"), &RegionName::new(HERE), cpu)
    }
}

/// A bench with a provider that has two flavors and room for eight cores.
fn bench() -> Bench {
    bench_with(ProviderRules {
        quotas: [(RegionName::new(HERE), Quota { cpus: Some(8), ..Quota::default() })].into(),
        ..ProviderRules::default()
    })
}

fn bench_with(rules: ProviderRules) -> Bench {
    let mut bench = Bench::new();
    let providers = vec![(ProviderName::new("cloud"), rules)];
    tell(&mut bench, HiringCommand::SetProviders { head: "lab".into(), providers }).unwrap();
    let flavors = vec![flavor("big", 4, 0.4), flavor("small", 1, 0.1)];
    tell(&mut bench, HiringCommand::SetFlavors(flavors)).unwrap();
    bench
}

fn tell(bench: &mut Bench, command: HiringCommand) -> Result<Reply, Refusal> {
    bench.apply(Command::Hiring(command))
}

fn wish(flavor: &str, number: u32) -> HiringCommand {
    HiringCommand::Hire(Box::new(HireWorkers {
        wanted: Wanted { flavor: flavor.to_owned(), provider: None, region: None },
        scope: Scope::Shared,
        number,
        settings: WorkerSettings { batch: "Default".parse().unwrap(), concurrency: 1, prefetch: 0 },
    }))
}

fn hire(bench: &mut Bench, flavor: &str, number: u32) -> Vec<(WorkerId, JobId)> {
    let Reply::Hired { workers, jobs } = tell(bench, wish(flavor, number)).unwrap() else {
        panic!("no workers")
    };
    workers.into_iter().zip(jobs).collect()
}

fn row(bench: &Bench, job: JobId) -> (JobAction, JobState) {
    let row = &bench.state.hiring.jobs[&job].row;
    (row.action, row.state)
}

fn fail(bench: &mut Bench, job: JobId, failure: JobFailure) {
    tell(bench, HiringCommand::StartJob(job)).unwrap();
    let end = JobEnd::Failed { failure, reason: "no".into(), retry_after: None };
    tell(bench, HiringCommand::EndJob { job, end }).unwrap();
}

/// Carries the job of a new worker out, up to its agent.
fn arrive(bench: &mut Bench, worker: WorkerId, job: JobId) {
    tell(bench, HiringCommand::StartJob(job)).unwrap();
    tell(bench, HiringCommand::Made { job, machine: format!("m{worker}") }).unwrap();
    let link = bench.new_link();
    let name = bench.state.workers[&worker].name.to_string();
    let mut connect = hello(link, &name, 9, 9);
    connect.bound_to = Some(worker);
    bench.apply(Command::Connect(Box::new(connect))).unwrap();
    tell(bench, HiringCommand::EndJob { job, end: JobEnd::Done }).unwrap();
}

fn due(bench: &Bench) -> Vec<JobId> {
    bench.state.due_jobs(bench.now.monotonic)
}

/// Ends what is to be destroyed now.
fn destroy(bench: &mut Bench) {
    for job in due(bench) {
        assert_eq!(row(bench, job).0, JobAction::Destroy);
        tell(bench, HiringCommand::StartJob(job)).unwrap();
        tell(bench, HiringCommand::EndJob { job, end: JobEnd::Done }).unwrap();
    }
}

#[test]
fn a_hired_worker_is_written_down_before_it_is_made_and_joins_under_its_name() {
    let mut bench = bench();
    let hired = hire(&mut bench, "auto:cpu>=1", 2);
    let (worker, job) = hired[0];
    let names: Vec<&str> = bench.state.workers.values().map(|worker| &*worker.name).collect();
    assert_eq!(names, ["lab-node1", "lab-node2"]);
    assert_eq!(bench.state.workers[&worker].seen, SeenState::Offline);
    assert!(bench.changes.jobs.contains_key(&job) && bench.changes.workers.contains_key(&worker));
    assert_eq!(row(&bench, job), (JobAction::Create, JobState::Pending));
    arrive(&mut bench, worker, job);
    assert_eq!(row(&bench, job), (JobAction::Deploy, JobState::Succeeded));
    let there = &bench.state.workers[&worker];
    assert_eq!((there.seen, there.settings.concurrency), (SeenState::Online, 1));
    assert_eq!(there.machine.flavor.as_deref(), Some("small"));
    let task = bench.create(0, &[]);
    assert_eq!(bench.worker_of(task), worker);
}

#[test]
fn more_than_the_quota_is_refused_whole_and_names_are_taught() {
    let mut bench = bench();
    assert_eq!(hire(&mut bench, "big", 1).len(), 1);
    let refused = |bench: &mut Bench, command| match tell(bench, command).unwrap_err() {
        Refusal::NoMachine { message, hint } => format!("{message}; {hint}"),
        other => panic!("{other}"),
    };
    assert_eq!(
        refused(&mut bench, wish("big", 2)),
        "only 1 of 2 workers can be hired now; the quota of here of cloud has no room for big"
    );
    assert_eq!(refused(&mut bench, wish("bug", 1)), "flavor `bug` is not known; did you mean big?");
    assert_eq!(
        refused(&mut bench, wish("auto:ram>=999", 1)),
        "no flavor fits `auto:ram>=999`; ram>=999 alone leaves out 2 of 2"
    );
    assert_eq!(bench.state.workers.len(), 1);
}

#[test]
fn what_has_no_room_rests_and_the_next_best_is_tried() {
    let mut bench = bench();
    let (worker, job) = hire(&mut bench, "auto", 1)[0];
    fail(&mut bench, job, JobFailure::Capacity);
    assert_eq!(row(&bench, job), (JobAction::Create, JobState::Pending));
    assert_eq!(bench.state.hiring.jobs[&job].row.flavor.as_str(), "big");
    assert_eq!(bench.state.workers[&worker].machine.flavor.as_deref(), Some("big"));
    fail(&mut bench, job, JobFailure::Quota);
    assert_eq!(row(&bench, job).1, JobState::Failed);
    destroy(&mut bench);
    assert!(bench.state.workers.is_empty());
    let Refusal::NoMachine { hint, .. } = tell(&mut bench, wish("auto", 1)).unwrap_err() else {
        panic!()
    };
    assert_eq!(hint.to_string(), "small in here of cloud rests for 600 s: no");
    bench.pass(601);
    hire(&mut bench, "auto", 1);
}

#[test]
fn a_passing_failure_is_tried_again_with_growing_waits_and_then_taken_away() {
    let mut bench = bench();
    let (worker, job) = hire(&mut bench, "small", 1)[0];
    for wait in [5, 10] {
        fail(&mut bench, job, JobFailure::Transient);
        assert!(due(&bench).is_empty());
        bench.pass(wait);
        assert_eq!(due(&bench), [job]);
    }
    fail(&mut bench, job, JobFailure::Transient);
    assert_eq!(row(&bench, job).1, JobState::Failed);
    assert!(bench.state.workers[&worker].deleting);
    // What was made of it costs money: its end is tried until it is true.
    for _ in 0..6 {
        let destroying = due(&bench)[0];
        fail(&mut bench, destroying, JobFailure::Authentication);
        bench.pass(600);
    }
    destroy(&mut bench);
    assert!(bench.state.workers.is_empty());
    assert_eq!(bench.state.hiring.jobs[&job].row.worker, None);
    tell(&mut bench, HiringCommand::RetryJob(job)).unwrap();
    assert_eq!(row(&bench, job), (JobAction::Create, JobState::Pending));
}

#[test]
fn a_worker_that_is_being_made_is_cancelled_and_then_destroyed() {
    let mut bench = bench();
    let (worker, job) = hire(&mut bench, "small", 1)[0];
    tell(&mut bench, HiringCommand::StartJob(job)).unwrap();
    bench.apply(Command::DeleteWorker(worker)).unwrap();
    assert!(bench.state.hiring.jobs[&job].row.cancelled);
    assert!(due(&bench).is_empty(), "not while the other job is at it");
    tell(&mut bench, HiringCommand::Made { job, machine: "m".into() }).unwrap();
    tell(&mut bench, HiringCommand::EndJob { job, end: JobEnd::Done }).unwrap();
    assert_eq!(row(&bench, job).1, JobState::Failed);
    destroy(&mut bench);
    assert!(bench.state.workers.is_empty());
}

#[test]
fn idle_workers_go_after_their_time_and_permanent_ones_never() {
    let mut bench = bench();
    let permanent = bench.connect("mine", 1, 0);
    let (worker, job) = hire(&mut bench, "small", 1)[0];
    arrive(&mut bench, worker, job);
    bench.pass_with(3595, &[worker, permanent]);
    assert!(!bench.state.workers[&worker].deleting, "it never worked, and has an hour");
    let task = bench.create(0, &[]);
    let other = bench.create(0, &[]);
    for task in [task, other] {
        bench.start(task);
    }
    bench.pass_with(400, &[worker, permanent]);
    for task in [task, other] {
        bench.finish(task, None);
    }
    bench.pass_with(295, &[worker, permanent]);
    assert!(!bench.state.workers[&worker].deleting);
    bench.pass_with(10, &[worker, permanent]);
    assert!(bench.state.workers[&worker].deleting);
    destroy(&mut bench);
    assert_eq!(bench.state.workers.keys().copied().collect::<Vec<_>>(), [permanent]);
    let batch = bench.state.batches.values().next().unwrap();
    assert!((batch.spent["EUR"] - 0.1 * 4300.0 / 3600.0).abs() < 0.01, "{:?}", batch.spent);
}

#[test]
fn tasks_that_wait_for_what_the_batch_does_keep_its_workers() {
    let mut bench = bench();
    let permanent = bench.connect("mine", 1, 0);
    let first = bench.create(0, &[]);
    bench.start(first);
    bench.create(0, &[first]);
    let (worker, job) = hire(&mut bench, "small", 1)[0];
    arrive(&mut bench, worker, job);
    bench.pass_with(7200, &[worker, permanent]);
    assert!(!bench.state.workers[&worker].deleting);
}

fn recruiter(flavor: &str, tasks_per_worker: u32) -> Recruiter {
    Recruiter {
        flavor: flavor.to_owned(),
        provider: Some("auto".to_owned()),
        region: Some("auto".to_owned()),
        concurrency: Sizing::Workers(2),
        prefetch: 1,
        tasks_per_worker,
        minimum_tasks: None,
        maximum_workers: None,
        scope: Scope::Shared,
    }
}

fn set(bench: &mut Bench, batch: &str, rank: u32, recruiter: Recruiter) {
    let (batch, recruiter) = (batch.parse().unwrap(), Box::new(recruiter));
    tell(bench, HiringCommand::SetRecruiter { batch, rank, recruiter }).unwrap();
    decide(bench);
}

fn decide(bench: &mut Bench) {
    tell(bench, HiringCommand::Decide).unwrap();
}

fn verdicts(bench: &Bench) -> Vec<String> {
    let batches: Vec<_> = bench.state.batches.keys().copied().collect();
    let plans = bench.state.plan_recruitment(batches, bench.now.monotonic);
    plans.iter().map(|(_, advice)| advice.verdict.to_string()).collect()
}

#[test]
fn a_recruiter_hires_for_what_is_pending_within_its_limits() {
    let mut bench = bench();
    for _ in 0..5 {
        bench.create(0, &[]);
    }
    set(&mut bench, "Default", 1, recruiter("auto:cpu<=1", 2));
    assert_eq!(bench.state.workers.len(), 3);
    assert_eq!(verdicts(&bench), ["5 pending tasks want 3 workers, and 3 work or will"]);
    set(&mut bench, "Default", 1, Recruiter { maximum_workers: Some(4), ..recruiter("auto", 1) });
    assert_eq!(bench.state.workers.len(), 4);
    assert_eq!(verdicts(&bench), ["the recruiter has its 4 workers"]);
    set(&mut bench, "Default", 1, recruiter("auto:cpu>=4", 1));
    assert_eq!(bench.state.workers.len(), 5, "the quota has room for one of four cores");
    set(&mut bench, "Default", 1, Recruiter { minimum_tasks: Some(6), ..recruiter("auto", 1) });
    assert_eq!(verdicts(&bench), ["5 tasks are pending, and it begins with 6"]);
}

#[test]
fn a_paused_batch_hires_nobody_and_one_that_goes_on_does() {
    let mut bench = bench();
    bench.create(0, &[]);
    let batch: crate::domain::BatchName = "Default".parse().unwrap();
    let with = crate::api::batch::WithTasks::default();
    bench.apply(Command::PauseBatch { batch: batch.clone(), with }).unwrap();
    set(&mut bench, "Default", 1, recruiter("auto", 1));
    assert!(bench.state.workers.is_empty());
    assert_eq!(verdicts(&bench), ["the batch is paused"]);
    bench.apply(Command::GoBatch { batch, with }).unwrap();
    decide(&mut bench);
    assert_eq!(bench.state.workers.len(), 1);
}

#[test]
fn idle_workers_of_other_batches_are_taken_over_first() {
    let mut bench = bench();
    let idle = bench.connect("mine", 1, 0);
    let command = Command::CreateTasks(vec![new_task("other", 0, &[]), new_task("other", 0, &[])]);
    bench.apply(command).unwrap();
    set(&mut bench, "other", 1, recruiter("auto:cpu>=1", 1));
    assert_eq!(bench.state.workers.len(), 2);
    let taken = &bench.state.workers[&idle];
    assert_eq!(taken.settings.batch.as_str(), "other");
    assert_eq!((taken.settings.concurrency, taken.settings.prefetch), (2, 1));
    assert_eq!(taken.executions.len(), 2, "and it works");
}

#[test]
fn the_cost_limit_of_a_batch_is_a_hard_stop() {
    let mut bench = bench();
    let update = crate::api::batch::UpdateBatch {
        maximum_cost: Some(crate::api::batch::Setting::Value("0.25".parse().unwrap())),
        ..crate::api::batch::UpdateBatch::default()
    };
    let batch = "Default".parse().unwrap();
    bench.apply(Command::UpdateBatch { batch, update }).unwrap();
    for _ in 0..5 {
        bench.create(0, &[]);
    }
    set(&mut bench, "Default", 1, recruiter("auto", 1));
    assert_eq!(bench.state.workers.len(), 2);
    assert_eq!(verdicts(&bench), ["the batch may cost 0.25 an hour, and one more would cost more"]);
}

#[test]
fn an_evicted_machine_goes_and_another_is_hired_where_that_is_set() {
    let mut bench =
        bench_with(ProviderRules { on_eviction: OnEviction::Replace, ..ProviderRules::default() });
    let (worker, job) = hire(&mut bench, "auto", 1)[0];
    arrive(&mut bench, worker, job);
    let task = bench.create(0, &[]);
    bench.start(task);
    let evict = Command::EvictWorker { worker, link: None, reason: "spot".into() };
    bench.apply(evict).unwrap();
    assert_eq!(bench.state.tasks[&task].losses, 0);
    assert!(bench.state.workers[&worker].deleting);
    let creating =
        due(&bench).iter().filter(|job| row(&bench, **job).0 == JobAction::Create).count();
    assert_eq!((bench.state.workers.len(), creating), (2, 1));
}

#[test]
fn a_token_to_join_with_holds_once_and_for_its_time() {
    let mut bench = bench();
    let (worker, job) = hire(&mut bench, "small", 1)[0];
    tell(&mut bench, HiringCommand::StartJob(job)).unwrap();
    let valid_for = Duration::from_mins(10);
    let token = |bench: &mut Bench| {
        let command = HiringCommand::JoinToken { job, hash: [1; 32], valid_for };
        let Reply::Token(token) = tell(bench, command).unwrap() else { panic!() };
        token
    };
    let first = token(&mut bench);
    let second = token(&mut bench);
    let link = bench.new_link();
    let mut connect = hello(link, "lab-node1", 1, 0);
    connect.bound_to = Some(worker);
    connect.new_token = Some([2; 32]);
    let reply = bench.apply(Command::Connect(Box::new(connect))).unwrap();
    let Reply::Connected(connected) = reply else { panic!() };
    assert_eq!(connected.revoked, [first, second]);
    assert!(connected.token.is_some_and(|token| token > first));
    let third = token(&mut bench);
    bench.pass(601);
    assert!(!bench.state.tokens.contains_key(&third));
}

/// Random kinds of machines.
fn market() -> impl Strategy<Value = Vec<Flavor>> {
    let one = (0_usize..6, 0_usize..3, 1_u32..17, 0_u32..50, 0_u32..8, 0_usize..4);
    prop::collection::vec(one, 0..12).prop_map(|flavors| {
        let mut known = std::collections::BTreeSet::new();
        flavors
            .into_iter()
            .filter(|(name, region, ..)| known.insert((*name, *region)))
            .map(|(name, region, cpu, cost, eviction, tags)| Flavor {
                cost: (cost > 0).then(|| f64::from(cost) / 100.0),
                eviction: (eviction > 0).then(|| f64::from(eviction)),
                tags: ["", "N", "M", "GN"][tags].to_owned(),
                ram: Some(f64::from(cpu) * 2.0),
                ..Flavor::new(
                    format!("f{name}"),
                    &ProviderName::new("cloud"),
                    &RegionName::new(["north", "south", "east"][region]),
                    cpu,
                )
            })
            .collect()
    })
}

fn selection() -> impl Strategy<Value = Wanted> {
    let number = "(cpu|ram|cost|eviction)(>=|<=|<|>|==|!=)(0|0\\.2|2|4|8|16)";
    let text = "(tags(#|!#)(N|M|G)|region(==|~|!~)(north|%th)|name~f%)";
    let conditions = prop::collection::vec(prop_oneof![2 => number, 1 => text], 0..3);
    let flavor = prop_oneof![
        5 => conditions.prop_map(|parts| [vec!["auto".to_owned()], parts].concat().join(":")),
        1 => "f[0-5]",
    ];
    let region = prop_oneof![
        3 => Just(None),
        1 => prop::sample::select(vec!["north", "south", "east"]).prop_map(Some)
    ];
    (flavor, region).prop_map(|(flavor, region)| Wanted {
        flavor,
        provider: None,
        region: region.map(RegionName::new),
    })
}

/// The flavor and the region of the only worker.
fn only_hire(bench: &Bench) -> Option<(String, String)> {
    let hire = bench.state.workers.values().next()?.hire.as_deref()?;
    Some((hire.flavor.to_string(), hire.region.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Lists, deployments and recruiters choose alike.
    #[test]
    fn whoever_asks_gets_the_same_flavor(flavors in market(), wanted in selection()) {
        let rules = || ProviderRules {
            preferred_region: Some("so%".to_owned()),
            ..ProviderRules::default()
        };
        let bench_of = || {
            let mut bench = bench_with(rules());
            tell(&mut bench, HiringCommand::SetFlavors(flavors.clone())).unwrap();
            bench
        };
        let mut deploys = bench_of();
        let selection = wanted.selection().unwrap();
        let usage = deploys.state.usage();
        let listed = deploys
            .state
            .hiring
            .market
            .offers(&selection, Scope::Shared, &usage, deploys.now.monotonic)
            .next()
            .map(|offer| (offer.flavor.name.to_string(), offer.flavor.region.to_string()));
        let hire = HiringCommand::Hire(Box::new(HireWorkers {
            wanted: wanted.clone(),
            scope: Scope::Shared,
            number: 1,
            settings: WorkerSettings {
                batch: "Default".parse().unwrap(),
                concurrency: 1,
                prefetch: 0,
            },
        }));
        let is_deployed = tell(&mut deploys, hire).is_ok();
        prop_assert_eq!(is_deployed, listed.is_some());
        prop_assert_eq!(&only_hire(&deploys), &listed);
        let mut recruits = bench_of();
        recruits.create(0, &[]);
        let asked = Recruiter {
            region: Some(wanted.region.as_ref().map_or("auto", RegionName::as_str).to_owned()),
            ..recruiter(&wanted.flavor, 1)
        };
        let (batch, asked) = ("Default".parse().unwrap(), Box::new(asked));
        let set = HiringCommand::SetRecruiter { batch, rank: 1, recruiter: asked };
        if tell(&mut recruits, set).is_ok() {
            decide(&mut recruits);
            prop_assert_eq!(&only_hire(&recruits), &listed);
        } else {
            prop_assert_eq!(listed, None, "what is refused is not there");
        }
    }
}
