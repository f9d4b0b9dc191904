//! What people set on batches.

use crate::api::batch::{Setting, UpdateBatch};
use crate::api::event::Event;
use crate::domain::{BatchId, BatchName, WorkerId};

use super::state::State;
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Sets what is named; a batch that is not there is made.
    pub(super) fn update_batch(
        &mut self,
        context: &mut Context<'_>,
        name: &BatchName,
        update: UpdateBatch,
    ) -> Reply {
        let detail = serde_json::to_string(&update).unwrap_or_default();
        audit(context, "batch.update", format!("{name} {detail}"));
        let id = self.batch_of(context, name);
        if let Some(batch) = self.batches.get_mut(&id) {
            let UpdateBatch { defaults, lost_after, output_limit, maximum_workers, maximum_cost } =
                update;
            let settings = &mut batch.settings;
            settings.defaults = defaults.unwrap_or_else(|| std::mem::take(&mut settings.defaults));
            settings.lost_after = changed(settings.lost_after, lost_after);
            settings.output_limit = changed(settings.output_limit, output_limit);
            settings.maximum_workers = changed(settings.maximum_workers, maximum_workers);
            settings.maximum_cost = changed(settings.maximum_cost, maximum_cost);
            let event = Event::Batch { name: name.clone(), pause: batch.pause };
            context.effects.push(Effect::Publish(event));
        }
        context.changes.touched_batches.insert(id);
        self.hiring.ask(id);
        self.tell_workers_of(context, id);
        Reply::Batch(name.clone())
    }

    pub(super) fn find_batch_id(&self, name: &BatchName) -> Result<BatchId, Refusal> {
        self.batch_ids.get(name).copied().ok_or_else(|| Refusal::NoBatch(name.clone()))
    }

    /// Puts the workers of a deleted batch into a new one of the same name.
    pub(super) fn rehome_workers(
        &mut self,
        context: &mut Context<'_>,
        old: BatchId,
        name: &BatchName,
    ) {
        let Some(batch) = self.batches.get(&old) else { return };
        let workers: Vec<WorkerId> = batch.workers.iter().copied().collect();
        if workers.is_empty() {
            return;
        }
        let new = self.batch_of(context, name);
        for worker in workers {
            self.put_worker(worker, new);
            self.record_worker(context, worker);
        }
        self.tell_workers_of(context, new);
    }

    /// Tells the agents of a batch's workers by what they shall go.
    fn tell_workers_of(&self, context: &mut Context<'_>, id: BatchId) {
        let Some(batch) = self.batches.get(&id) else { return };
        for worker in &batch.workers {
            self.tell_settings(context, *worker);
        }
    }
}

fn changed<T>(present: Option<T>, update: Option<Setting<T>>) -> Option<T> {
    match update {
        None => present,
        Some(Setting::Default) => None,
        Some(Setting::Value(value)) => Some(value),
    }
}
