//! What people do to workers.

use crate::api::event::Event;
use crate::api::link::Verdict;
use crate::api::worker::{Clean, UpdateWorker};
use crate::domain::execution::ExecutionState;
use crate::domain::worker::WantedState;
use crate::domain::{BatchId, ExecutionId, WorkerId};

use super::change::Ending;
use super::state::State;
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    /// Changes a worker's settings. Moved to another batch, it gives back what
    /// it has not accepted and finishes the rest.
    pub(super) fn update_worker(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        update: &UpdateWorker,
    ) -> Result<Reply, Refusal> {
        if self.workers.get(&id).is_none_or(|worker| worker.deleting) {
            return Err(Refusal::NoWorker(id));
        }
        audit(
            context,
            "worker.update",
            format!("{id} {}", serde_json::to_string(update).unwrap_or_default()),
        );
        if let Some(name) = &update.batch {
            let batch = self.batch_of(context, name);
            self.move_worker(context, id, batch);
        }
        let Some(worker) = self.workers.get_mut(&id) else { return Err(Refusal::NoWorker(id)) };
        worker.settings.concurrency = update.concurrency.unwrap_or(worker.settings.concurrency);
        worker.settings.prefetch = update.prefetch.unwrap_or(worker.settings.prefetch);
        worker.wanted = update.wanted.unwrap_or(worker.wanted);
        let batch = worker.batch;
        if update.wanted == Some(WantedState::Running) {
            self.put_into_service(id);
        }
        self.tell_settings(context, id);
        self.reweigh_worker(id);
        self.give_back_excess(context, id);
        self.record_worker(context, id);
        self.assign(context, batch);
        Ok(Reply::Worker(id))
    }

    /// Tells the agent by what it shall go from now on.
    pub(super) fn tell_settings(&self, context: &mut Context<'_>, id: WorkerId) {
        if let Some(worker) = self.workers.get(&id) {
            context.effects.push(Effect::Settings {
                worker: id,
                settings: worker.settings.clone(),
                wanted: worker.wanted,
                lost_after_seconds: self.lost_after(worker.batch).map(|limit| limit.as_secs()),
            });
        }
    }

    /// Wants back what a worker holds beyond its room and has not begun, the
    /// newest first. What it has not taken yet is back at once.
    fn give_back_excess(&mut self, context: &mut Context<'_>, id: WorkerId) {
        let Some(worker) = self.workers.get(&id) else { return };
        let room = worker.settings.concurrency.saturating_add(worker.settings.prefetch);
        let mut held = worker.held;
        for state in [ExecutionState::Pending, ExecutionState::Accepted] {
            for execution in self.executions_of(id, state).into_iter().rev() {
                if held <= room {
                    return;
                }
                let Some(live) = self.executions.get(&execution) else { continue };
                if live.row.ending.is_some() {
                    continue;
                }
                held = held.saturating_sub(live.counted_slots());
                if state == ExecutionState::Pending {
                    self.take_back(context, execution, "its worker was given less room");
                } else {
                    let verdict = Verdict::GiveBack;
                    context.effects.push(Effect::Order { worker: id, execution, verdict });
                }
            }
        }
    }

    fn move_worker(&mut self, context: &mut Context<'_>, id: WorkerId, to: BatchId) {
        let Some(from) = self.workers.get(&id).map(|worker| worker.batch) else { return };
        if from == to {
            return;
        }
        self.put_worker(id, to);
        for execution in self.executions_of(id, ExecutionState::Pending) {
            self.take_back(context, execution, "its worker was moved to another batch");
        }
        // It may have been the only one with an engine.
        self.assign(context, from);
    }

    /// Puts a worker into a batch, with all that it holds.
    pub(super) fn put_worker(&mut self, id: WorkerId, to: BatchId) {
        self.release_worker(id);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if let Some(batch) = self.batches.get_mut(&worker.batch) {
            batch.workers.remove(&id);
            batch.forget_engine(id);
            batch.freed.remove(&id);
            if let Some(key) = worker.candidate_key.take() {
                batch.candidates.remove(&(key, id));
            }
        }
        worker.batch = to;
        if let Some(batch) = self.batches.get_mut(&to) {
            worker.settings.batch = batch.name.clone();
            batch.workers.insert(id);
        }
        self.rank_worker(id);
        self.note_engine(id);
    }

    /// Has a worker take off its disk what is not needed.
    pub(super) fn clean_worker(
        &self,
        context: &mut Context<'_>,
        id: WorkerId,
        what: Clean,
    ) -> Result<Reply, Refusal> {
        self.check_connected(id)?;
        audit(context, "worker.clean", format!("{id} {what:?}").to_lowercase());
        context.effects.push(Effect::Clean { worker: id, what });
        Ok(Reply::Worker(id))
    }

    /// Has a worker's agent replaced by a new process; its commands run on.
    pub(super) fn restart_worker(
        &self,
        context: &mut Context<'_>,
        id: WorkerId,
    ) -> Result<Reply, Refusal> {
        self.check_connected(id)?;
        audit(context, "worker.restart", id.to_string());
        context.effects.push(Effect::RestartAgent { worker: id });
        Ok(Reply::Worker(id))
    }

    fn check_connected(&self, id: WorkerId) -> Result<(), Refusal> {
        let worker = self.workers.get(&id).ok_or(Refusal::NoWorker(id))?;
        match worker.link {
            Some(_) => Ok(()),
            None => Err(Refusal::NotConnected(worker.name.clone())),
        }
    }

    /// Deletes a worker's record. What it has not accepted goes back at once.
    /// What it runs is ended first while it can be reached, so that no task runs
    /// twice; the record goes with the last of it. A worker that cannot be
    /// reached goes at once, and what it ran is lost.
    pub(super) fn delete_worker(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
    ) -> Result<Reply, Refusal> {
        let Some(worker) = self.workers.get_mut(&id) else { return Err(Refusal::NoWorker(id)) };
        worker.deleting = true;
        let is_hired = worker.hire.is_some();
        let reachable = worker.link.is_some();
        self.rank_worker(id);
        audit(context, "worker.delete", id.to_string());
        for execution in self.executions_of(id, ExecutionState::Pending) {
            self.take_back(context, execution, "its worker was deleted");
        }
        for state in [ExecutionState::Accepted, ExecutionState::Running] {
            for execution in self.executions_of(id, state) {
                let ends_already =
                    self.executions.get(&execution).is_some_and(|live| live.row.ending.is_some());
                if reachable && ends_already {
                    // What a person wanted of the task before still holds.
                } else if reachable {
                    self.end_execution(context, execution, Ending::Delete);
                } else {
                    self.lose_execution(context, execution, "its worker was deleted");
                }
            }
        }
        if is_hired {
            self.destroy_machine(context, id);
        }
        let batch = self.workers.get(&id).map(|worker| worker.batch);
        self.leave_if_deleting(context, id);
        self.assign_after_leaving(context, id, batch);
        Ok(Reply::Worker(id))
    }

    /// Takes the record of a worker away once nothing runs on it and it is to go.
    pub(super) fn leave_if_deleting(&mut self, context: &mut Context<'_>, id: WorkerId) {
        let gone = self.workers.get(&id).is_some_and(|worker| {
            // The record of a hired one stays until its machine is gone.
            worker.deleting && worker.executions.is_empty() && worker.hire.is_none()
        });
        if !gone {
            return;
        }
        let Some(worker) = self.workers.remove(&id) else { return };
        self.hiring.ask(worker.batch);
        if let Some(batch) = self.batches.get_mut(&worker.batch) {
            batch.workers.remove(&id);
            batch.forget_engine(id);
            batch.freed.remove(&id);
            batch.reserved.remove(&id);
            if let Some(key) = worker.candidate_key {
                batch.candidates.remove(&(key, id));
            }
        }
        context.changes.workers.insert(id, None);
        let revoked = self.revoke_tokens_of(context, id);
        context.effects.push(Effect::TokensRevoked(revoked));
        context.effects.push(Effect::CloseLink { worker: id });
        context
            .effects
            .push(Effect::Publish(Event::WorkerDeleted { id, batch: worker.settings.batch }));
    }

    /// A worker that has left may have been the only one of its batch with an
    /// engine: then others take what waited for it.
    pub(super) fn assign_after_leaving(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        batch: Option<BatchId>,
    ) {
        if let Some(batch) = batch.filter(|_| !self.workers.contains_key(&id)) {
            self.assign(context, batch);
        }
    }

    /// A worker's executions in that state, oldest first.
    pub(super) fn executions_of(&self, id: WorkerId, state: ExecutionState) -> Vec<ExecutionId> {
        let Some(worker) = self.workers.get(&id) else { return Vec::new() };
        let mut found: Vec<ExecutionId> = worker
            .executions
            .iter()
            .copied()
            .filter(|execution| {
                self.executions.get(execution).is_some_and(|live| live.row.state == state)
            })
            .collect();
        found.sort_unstable();
        found
    }
}
