//! What hired machines cost.

use crate::domain::{BatchId, Timestamp, WorkerId};
use std::collections::BTreeMap;

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
