//! What hired machines cost.

use std::collections::BTreeMap;

use crate::domain::flavor::Flavor;
use crate::domain::{BatchId, Timestamp, WorkerId};

use super::super::Context;
use super::super::state::State;

/// Amounts by currency.
pub type Amounts = BTreeMap<String, f64>;

impl State {
    /// Adds what a machine has cost to its batch, as it goes.
    pub(super) fn count_cost(&mut self, context: &mut Context<'_>, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let Some(hire) = worker.hire.as_ref().filter(|hire| hire.cost.is_some()) else { return };
        let (batch_id, spent) = (worker.batch, hire.spent(context.now.wall));
        let currency = hire.currency.clone();
        if let Some(batch) = self.batches.get_mut(&batch_id) {
            *batch.spent.entry(currency).or_default() += spent;
            context.changes.touched_batches.insert(batch_id);
        }
    }

    /// What the hired machines of a batch cost in an hour.
    #[must_use]
    pub fn hourly_cost(&self, id: BatchId) -> Amounts {
        let mut amounts = Amounts::new();
        let Some(batch) = self.batches.get(&id) else { return amounts };
        let workers = batch.workers.iter().filter_map(|worker| self.workers.get(worker));
        for hire in workers.filter_map(|worker| worker.hire.as_deref()) {
            if let Some(cost) = hire.cost {
                *amounts.entry(hire.currency.clone()).or_default() += cost;
            }
        }
        amounts
    }

    /// What one more machine of a batch may cost in an hour; none: no limit. That of
    /// a worker that it is to replace does not count.
    pub(super) fn cost_left(&self, id: BatchId, without: Option<WorkerId>) -> Option<f64> {
        let batch = self.batches.get(&id)?;
        let limit = f64::from(batch.settings.maximum_cost?);
        let others = batch.workers.iter().filter(|worker| Some(**worker) != without);
        let hires = others.filter_map(|worker| self.workers.get(worker)?.hire.as_deref());
        Some(limit - hires.filter_map(|hire| hire.cost).sum::<f64>())
    }

    /// What the machines of a batch have cost to date.
    #[must_use]
    pub fn spent(&self, id: BatchId, now: Timestamp) -> Amounts {
        let Some(batch) = self.batches.get(&id) else { return Amounts::new() };
        let mut amounts = batch.spent.clone();
        let workers = batch.workers.iter().filter_map(|worker| self.workers.get(worker));
        for hire in workers.filter_map(|worker| worker.hire.as_deref()) {
            if hire.cost.is_some() {
                *amounts.entry(hire.currency.clone()).or_default() += hire.spent(now);
            }
        }
        amounts
    }
}

/// Whether a flavor costs no more than is left. What has no price cannot be shown to.
pub(super) fn is_affordable(flavor: &Flavor, left: Option<f64>) -> bool {
    match left {
        None => true,
        Some(left) => flavor.cost.is_some_and(|cost| cost <= left + 1e-9),
    }
}
