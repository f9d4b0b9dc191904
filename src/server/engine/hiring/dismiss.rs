//! Who goes: workers that have had nothing to do for too long, that nobody hears of,
//! and that their provider takes away.

use crate::domain::flavor::Flavor;
use crate::domain::hire::{Hire, OnEviction, ProviderRules};
use crate::domain::task::TaskState;
use crate::domain::worker::SeenState;
use crate::domain::{BatchId, Monotonic, WorkerId};

use super::super::Context;
use super::super::state::{Batch, State, Worker};
use super::super::track::audit;
use super::cost::is_affordable;

/// By how much a machine that replaces an evicted one may cost more.
const REPLACEMENT_MARGIN: f64 = 1.1;

impl State {
    /// Looks at what time has changed for what is hired.
    pub(in crate::server::engine) fn dismiss(&mut self, context: &mut Context<'_>) {
        let now = context.now.monotonic;
        self.expire_join_tokens(context);
        let resting = self.hiring.market.resting.len();
        self.hiring.market.resting.retain(|_, rest| rest.until > now);
        if self.hiring.market.resting.len() < resting {
            self.hiring.ask_all();
        }
        self.ask_hungry();
        self.note_idleness(now);
        for id in self.overdue_workers(now) {
            audit(context, "worker.dismiss", id.to_string());
            // Refused only where there is no such worker.
            let _ = self.delete_worker(context, id);
        }
    }

    /// Notes since when hired workers have had nothing to do.
    fn note_idleness(&mut self, now: Monotonic) {
        let State { workers, batches, hiring, .. } = self;
        hiring.idle_since.retain(|id, _| workers.contains_key(id));
        for (id, worker) in workers.iter().filter(|(_, worker)| worker.hire.is_some()) {
            let has_work = batches.get(&worker.batch).is_some_and(has_work);
            if is_at_rest(worker) && !has_work {
                hiring.idle_since.entry(*id).or_insert(now);
            } else {
                hiring.idle_since.remove(id);
            }
        }
    }

    /// Workers whose time is over.
    fn overdue_workers(&self, now: Monotonic) -> Vec<WorkerId> {
        let usual = ProviderRules::default();
        let is_overdue = |id: &WorkerId, worker: &Worker, hire: &Hire| {
            let rules = self.hiring.market.providers.get(&hire.provider).unwrap_or(&usual);
            let has_worked = worker.succeeded + worker.failed > 0;
            let limit = if has_worked { rules.idle_after } else { rules.unused_after };
            let idle = self.hiring.idle_since.get(id);
            let is_silent = worker.link.is_none()
                && worker.seen == SeenState::Offline
                && now.since(worker.last_heard) >= rules.unused_after
                && self.hiring.job_of(*id).is_none();
            idle.is_some_and(|since| now.since(*since) >= limit) || is_silent
        };
        self.workers
            .iter()
            .filter(|(_, worker)| !worker.deleting)
            .filter(|(id, worker)| {
                worker.hire.as_deref().is_some_and(|hire| is_overdue(id, worker, hire))
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// What becomes of a hired worker whose machine its provider takes away; all that
    /// it had is given back by now.
    pub(in crate::server::engine) fn after_eviction(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
    ) {
        let Some(worker) = self.workers.get(&id) else { return };
        let (batch, Some(hire)) = (worker.batch, worker.hire.clone()) else { return };
        let rules = self.hiring.market.providers.get(&hire.provider);
        let on_eviction = rules.map_or(OnEviction::default(), |rules| rules.on_eviction);
        if on_eviction == OnEviction::Replace {
            self.replace(context, id, batch, &hire);
        }
        if on_eviction != OnEviction::Keep {
            // Refused only where there is no such worker.
            let _ = self.delete_worker(context, id);
        }
    }

    /// Hires another machine by the same criteria, where there is work for it and one
    /// that costs hardly more.
    fn replace(&mut self, context: &mut Context<'_>, id: WorkerId, batch: BatchId, hire: &Hire) {
        let has_pending = self
            .batches
            .get(&batch)
            .is_some_and(|batch| batch.counters.get(TaskState::Pending) > 0);
        let Some(order) = self.order_of(id).filter(|_| has_pending) else { return };
        let Ok(selection) = order.wanted.selection() else { return };
        let usage = self.usage();
        let left = self.cost_left(batch, Some(id));
        let is_as_cheap = |flavor: &Flavor| match (flavor.cost, hire.cost) {
            (Some(new), Some(old)) => new <= old * REPLACEMENT_MARGIN,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        let found = self
            .hiring
            .market
            .offers(&selection, order.scope, &usage, context.now.monotonic)
            .find(|offer| {
                offer.available != Some(0)
                    && is_as_cheap(offer.flavor)
                    && is_affordable(offer.flavor, left)
            })
            .map(|offer| offer.flavor.clone());
        if let Some(flavor) = found {
            self.hire_one(context, &flavor, &order);
        }
    }
}

/// Whether a worker could do something and does nothing.
fn is_at_rest(worker: &Worker) -> bool {
    worker.link.is_some() && worker.seen == SeenState::Online && worker.executions.is_empty()
}

/// Whether a batch has tasks to give, or has such that wait for what it is doing.
fn has_work(batch: &Batch) -> bool {
    let count = |state| batch.counters.get(state);
    let under_way =
        count(TaskState::Assigned) + count(TaskState::Accepted) + count(TaskState::Running);
    count(TaskState::Pending) > 0 || (count(TaskState::Waiting) > 0 && under_way > 0)
}
