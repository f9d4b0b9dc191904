//! Recruiters: how many workers a batch wants, and where they come from.
//!
//! One function plans, for those who act and for those who ask why: what `explain`
//! says is what is done.

use std::cell::OnceCell;

use crate::domain::batch::BatchPause;
use crate::domain::flavor::Flavor;
use crate::domain::hire::Scope;
use crate::domain::protofilter::Selection;
use crate::domain::recruiter::Recruiter;
use crate::domain::task::TaskState;
use crate::domain::worker::{SeenState, WantedState, WorkerSettings};
use crate::domain::{BatchId, BatchName, Monotonic, WorkerId};

use super::super::state::{Batch, State, Worker};
use super::super::track::audit;
use super::super::{Context, Refusal, Reply};
use super::cost::is_affordable;
use super::{JobOrder, Usage};

/// What one recruiter does now, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    pub rank: u32,
    /// Workers that it would still like to have after what it does.
    pub missing: u64,
    /// Workers that it takes over.
    pub recycle: Vec<WorkerId>,
    /// Machines that it hires.
    pub hire: Vec<Flavor>,
    pub verdict: Verdict,
}

/// The reason of a recruiter for doing what it does, or nothing more.
#[derive(Debug, Clone, PartialEq, strum::Display)]
pub enum Verdict {
    #[strum(to_string = "the batch is paused")]
    Paused,
    #[strum(to_string = "no task is pending")]
    NothingPending,
    #[strum(to_string = "{pending} tasks are pending, and it begins with {minimum}")]
    FewTasks { pending: u64, minimum: u32 },
    #[strum(
        to_string = "{pending} pending tasks want {wanted} workers, and {working} work or will"
    )]
    Enough { pending: u64, wanted: u64, working: u64 },
    #[strum(to_string = "the recruiter has its {maximum} workers")]
    Maximum { maximum: u64 },
    #[strum(to_string = "the batch has its {maximum} workers")]
    BatchMaximum { maximum: u64 },
    #[strum(to_string = "{wanted} workers are wanted, and it gets them")]
    Gets { wanted: u64 },
    #[strum(to_string = "no idle worker fits, and without provider and region it hires none")]
    NoneIdle,
    #[strum(to_string = "the batch may cost {maximum} an hour, and one more would cost more")]
    CostLimit { maximum: String },
    #[strum(to_string = "{reason}")]
    NoneToHire { reason: String },
    #[strum(to_string = "{reason}")]
    Wrong { reason: String },
}

/// What is looked up at most once in a round of decisions.
struct Round<'a> {
    state: &'a State,
    now: Monotonic,
    usage: OnceCell<Usage>,
    idle: OnceCell<Vec<WorkerId>>,
    taken: Vec<WorkerId>,
}

/// The numbers of a batch while its recruiters have their turns.
struct Count {
    working: u64,
    cost: f64,
}

impl State {
    /// Sets what a recruiter does; one of that rank is replaced.
    pub(super) fn set_recruiter(
        &mut self,
        context: &mut Context<'_>,
        name: &BatchName,
        rank: u32,
        recruiter: Recruiter,
    ) -> Result<Reply, Refusal> {
        let wanted = recruiter.wanted();
        let selection = wanted.selection().map_err(|error| Refusal::NoMachine {
            message: error.to_string().into(),
            hint: format!("`{}`", wanted.flavor).into(),
        })?;
        if recruiter.may_deploy() {
            self.hiring.market.check_names(&wanted, &selection, recruiter.scope)?;
        }
        let detail = serde_json::to_string(&recruiter).unwrap_or_default();
        audit(context, "recruiter.set", format!("{name} {rank} {detail}"));
        let batch = self.batch_of(context, name);
        self.hiring.recruiters.insert((batch, rank), recruiter.clone());
        context.changes.recruiters.insert((batch, rank), Some(recruiter));
        self.hiring.ask(batch);
        Ok(Reply::Batch(name.clone()))
    }

    pub(super) fn delete_recruiter(
        &mut self,
        context: &mut Context<'_>,
        name: &BatchName,
        rank: u32,
    ) -> Result<Reply, Refusal> {
        let batch = self.find_batch_id(name)?;
        if self.hiring.recruiters.remove(&(batch, rank)).is_none() {
            return Err(Refusal::NoRecruiter { batch: name.clone(), rank });
        }
        context.changes.recruiters.insert((batch, rank), None);
        audit(context, "recruiter.delete", format!("{name} {rank}"));
        Ok(Reply::Batch(name.clone()))
    }

    /// Takes the recruiters of a batch away that is deleted.
    pub(in crate::server::engine) fn delete_recruiters_of(
        &mut self,
        context: &mut Context<'_>,
        batch: BatchId,
    ) {
        let ranks = self.ranks_of(batch);
        for rank in ranks {
            self.hiring.recruiters.remove(&(batch, rank));
            context.changes.recruiters.insert((batch, rank), None);
        }
    }

    /// Lets the recruiters decide for whose batches something has changed.
    pub(super) fn recruit(&mut self, context: &mut Context<'_>) {
        let batches = std::mem::take(&mut self.hiring.unasked);
        let plans = self.plan_recruitment(batches.iter().copied(), context.now.monotonic);
        self.hiring.hungry.retain(|batch| !batches.contains(batch));
        for (batch, advice) in plans {
            if advice.missing > 0 {
                self.hiring.hungry.insert(batch);
            }
            self.follow(context, batch, &advice);
        }
    }

    /// Asks those again that could not get what they wanted: time may have helped.
    pub(super) fn ask_hungry(&mut self) {
        let hungry = self.hiring.hungry.clone();
        self.hiring.unasked.extend(hungry);
    }

    /// What the recruiters of these batches do now, each in its turn.
    #[must_use]
    pub fn plan_recruitment(
        &self,
        batches: impl IntoIterator<Item = BatchId>,
        now: Monotonic,
    ) -> Vec<(BatchId, Advice)> {
        let mut round = Round {
            state: self,
            now,
            usage: OnceCell::new(),
            idle: OnceCell::new(),
            taken: Vec::new(),
        };
        let mut plans = Vec::new();
        for id in batches {
            let Some(batch) = self.batches.get(&id) else { continue };
            let ranks = self.hiring.recruiters.range((id, 0)..=(id, u32::MAX));
            let mut count = None;
            for ((_, rank), recruiter) in ranks {
                let advice = round.advise(id, batch, *rank, recruiter, &mut count);
                plans.push((id, advice));
            }
        }
        plans
    }

    fn ranks_of(&self, batch: BatchId) -> Vec<u32> {
        let own = self.hiring.recruiters.range((batch, 0)..=(batch, u32::MAX));
        own.map(|((_, rank), _)| *rank).collect()
    }

    fn follow(&mut self, context: &mut Context<'_>, batch: BatchId, advice: &Advice) {
        let Some(recruiter) = self.hiring.recruiters.get(&(batch, advice.rank)).cloned() else {
            return;
        };
        let Some(name) = self.batches.get(&batch).map(|batch| batch.name.clone()) else { return };
        for worker in &advice.recycle {
            self.recycle(context, *worker, batch, &recruiter);
        }
        for flavor in &advice.hire {
            let order = JobOrder {
                wanted: recruiter.wanted(),
                scope: recruiter.scope,
                settings: WorkerSettings {
                    batch: name.clone(),
                    concurrency: recruiter.concurrency.concurrency(flavor.cpu, flavor.ram),
                    prefetch: recruiter.prefetch,
                },
                recruiter: Some(advice.rank),
            };
            self.hire_one(context, flavor, &order);
        }
        if !advice.recycle.is_empty() {
            self.assign(context, batch);
        }
    }

    fn recycle(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        batch: BatchId,
        recruiter: &Recruiter,
    ) {
        self.put_worker(id, batch);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let ram = gibibytes(worker.machine.memory_bytes);
        worker.settings.concurrency =
            recruiter.concurrency.concurrency(worker.machine.cores, Some(ram));
        worker.settings.prefetch = recruiter.prefetch;
        self.hiring.idle_since.remove(&id);
        audit(context, "worker.recycle", format!("{id} to batch {batch}"));
        self.tell_settings(context, id);
        self.reweigh_worker(id);
        self.record_worker(context, id);
    }
}

impl Round<'_> {
    fn advise(
        &mut self,
        id: BatchId,
        batch: &Batch,
        rank: u32,
        recruiter: &Recruiter,
        count: &mut Option<Count>,
    ) -> Advice {
        let mut advice = Advice {
            rank,
            missing: 0,
            recycle: Vec::new(),
            hire: Vec::new(),
            verdict: Verdict::NothingPending,
        };
        let pending = batch.counters.get(TaskState::Pending);
        if batch.pause != BatchPause::No {
            advice.verdict = Verdict::Paused;
            return advice;
        }
        if pending == 0 {
            return advice;
        }
        if let Some(minimum) = recruiter.minimum_tasks.filter(|least| pending < u64::from(*least)) {
            advice.verdict = Verdict::FewTasks { pending, minimum };
            return advice;
        }
        let count = count.get_or_insert_with(|| self.count(batch));
        let wanted = pending.div_ceil(u64::from(recruiter.tasks_per_worker.max(1)));
        let mut needed = wanted.saturating_sub(count.working);
        if needed == 0 {
            advice.verdict = Verdict::Enough { pending, wanted, working: count.working };
            return advice;
        }
        advice.verdict = Verdict::Gets { wanted };
        for (maximum, verdict) in limits(batch, recruiter) {
            let room = maximum.saturating_sub(count.working);
            if room < needed {
                needed = room;
                advice.verdict = verdict;
            }
        }
        let selection = match recruiter.wanted().selection() {
            Ok(selection) => selection,
            Err(error) => {
                advice.verdict = Verdict::Wrong { reason: error.to_string() };
                return advice;
            }
        };
        let left = batch.settings.maximum_cost.map(|limit| f64::from(limit) - count.cost);
        let recycled = self.take_idle(id, &selection, needed, left);
        count.cost += recycled.iter().filter_map(|id| self.state.cost_of(*id)).sum::<f64>();
        count.working += recycled.len() as u64;
        needed -= recycled.len() as u64;
        advice.recycle = recycled;
        if needed > 0 && recruiter.may_deploy() {
            self.hire(batch, recruiter, &selection, needed, count, &mut advice);
        } else if needed > 0 {
            advice.missing = needed;
            advice.verdict = Verdict::NoneIdle;
        }
        advice
    }

    fn hire(
        &mut self,
        batch: &Batch,
        recruiter: &Recruiter,
        selection: &Selection,
        needed: u64,
        count: &mut Count,
        advice: &mut Advice,
    ) {
        let maximum = batch.settings.maximum_cost;
        let limit = maximum.map(f64::from);
        let state = self.state;
        let market = &state.hiring.market;
        let _ = self.usage.get_or_init(|| state.usage());
        let Some(usage) = self.usage.get_mut() else { return };
        for position in 0..needed {
            let left = limit.map(|limit| limit - count.cost);
            let mut was_too_dear = false;
            let found = market
                .offers(selection, recruiter.scope, usage, self.now)
                .filter(|offer| offer.available != Some(0))
                .find(|offer| {
                    let is_cheap = is_affordable(offer.flavor, left);
                    was_too_dear |= !is_cheap;
                    is_cheap
                })
                .map(|offer| offer.flavor.clone());
            let Some(flavor) = found else {
                advice.missing = needed - position;
                advice.verdict = match maximum {
                    Some(maximum) if was_too_dear => {
                        Verdict::CostLimit { maximum: maximum.to_string() }
                    }
                    _ => Verdict::NoneToHire {
                        reason: reason_of(state, recruiter, selection, recruiter.scope, self.now),
                    },
                };
                return;
            };
            usage.add(&flavor.provider, &flavor.region, flavor.cpu, flavor.ram);
            count.working += 1;
            count.cost += flavor.cost.unwrap_or(0.0);
            advice.hire.push(flavor);
        }
    }

    /// The workers of a batch that work or will, and what they cost.
    fn count(&self, batch: &Batch) -> Count {
        let workers = || batch.workers.iter().filter_map(|id| self.state.workers.get(id));
        let working = workers().filter(|worker| works_or_will(worker)).count() as u64;
        let hires = workers().filter_map(|worker| worker.hire.as_deref());
        Count { working, cost: hires.filter_map(|hire| hire.cost).sum() }
    }

    /// Takes idle workers of other batches that have nothing pending.
    fn take_idle(
        &mut self,
        batch: BatchId,
        selection: &Selection,
        most: u64,
        mut left: Option<f64>,
    ) -> Vec<WorkerId> {
        let state = self.state;
        let idle = self.idle.get_or_init(|| state.idle_workers());
        let fits = |id: &WorkerId| {
            !self.taken.contains(id)
                && state.workers.get(id).is_some_and(|worker| {
                    worker.batch != batch && selection.fits(&state.flavor_of(worker))
                })
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut is_within = |id: &WorkerId| match (&mut left, state.cost_of(*id)) {
            (Some(left), Some(cost)) if cost > *left + 1e-9 => false,
            (Some(left), Some(cost)) => {
                *left -= cost;
                true
            }
            _ => true,
        };
        let fitting = idle.iter().copied().filter(fits);
        let found: Vec<WorkerId> = fitting.filter(|id| is_within(id)).take(most).collect();
        self.taken.extend(&found);
        found
    }
}

impl State {
    /// Workers that could take something and have nothing, in batches that have
    /// nothing for them.
    fn idle_workers(&self) -> Vec<WorkerId> {
        let has_nothing = |batch: BatchId| {
            self.batches.get(&batch).is_none_or(|batch| batch.counters.get(TaskState::Pending) == 0)
        };
        self.workers
            .iter()
            .filter(|(_, worker)| {
                worker.takes_work()
                    && worker.executions.is_empty()
                    && worker.reserved_for.is_none()
                    && has_nothing(worker.batch)
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// What a worker's machine costs in an hour, where it was hired.
    fn cost_of(&self, id: WorkerId) -> Option<f64> {
        self.workers.get(&id)?.hire.as_ref()?.cost
    }

    /// A worker's machine as a flavor: as it was hired, or as its agent tells.
    #[must_use]
    pub fn flavor_of(&self, worker: &Worker) -> Flavor {
        let machine = &worker.machine;
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
        if let Some(hire) = &worker.hire
            && let Some(flavor) = self.hiring.market.flavors.iter().find(|flavor| {
                flavor.name == hire.flavor
                    && flavor.region == hire.region
                    && flavor.provider == hire.provider
            })
        {
            return flavor.clone();
        }
        let provider = crate::domain::ProviderName::new(text(&machine.provider));
        let region = crate::domain::RegionName::new(text(&machine.region));
        Flavor {
            ram: Some(gibibytes(machine.memory_bytes)),
            cost: worker.hire.as_ref().and_then(|hire| hire.cost),
            ..Flavor::new(text(&machine.flavor), &provider, &region, machine.cores)
        }
    }
}

/// Whether a worker is one that its batch can count on.
fn works_or_will(worker: &Worker) -> bool {
    let is_to_be = worker.hire.is_some() && worker.version.is_empty();
    let is_there = worker.seen == SeenState::Online && worker.failure.is_none();
    !worker.deleting
        && !worker.leaving
        && worker.wanted != WantedState::Draining
        && (is_to_be || is_there)
}

/// The most workers that there may be, with the reason.
fn limits(batch: &Batch, recruiter: &Recruiter) -> impl Iterator<Item = (u64, Verdict)> {
    let own = recruiter.maximum_workers.map(|maximum| {
        let maximum = u64::from(maximum);
        (maximum, Verdict::Maximum { maximum })
    });
    let of_batch = batch.settings.maximum_workers.map(|maximum| {
        let maximum = u64::from(maximum);
        (maximum, Verdict::BatchMaximum { maximum })
    });
    own.into_iter().chain(of_batch)
}

/// Why nothing can be hired, in the words of one who asks for a machine.
fn reason_of(
    state: &State,
    recruiter: &Recruiter,
    selection: &Selection,
    scope: Scope,
    now: Monotonic,
) -> String {
    match state.hiring.market.refuse(&recruiter.wanted(), selection, scope, now) {
        Refusal::NoMachine { message, hint } => format!("{message}: {hint}"),
        other => other.to_string(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "no memory has so many bytes")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
