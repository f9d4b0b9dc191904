//! What people do to workers, and tokens.

use crate::api::event::Event;
use crate::api::token::Role;
use crate::api::worker::UpdateWorker;
use crate::domain::execution::ExecutionState;
use crate::domain::{ExecutionId, TokenId, WorkerId};

use super::change::{Ending, TokenRow};
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
        context.effects.push(Effect::Settings {
            worker: id,
            settings: worker.settings.clone(),
            wanted: worker.wanted,
            lost_after_seconds: self.policy.lost_after.map(|limit| limit.as_secs()),
        });
        self.record_worker(context, id);
        self.assign(context, batch);
        Ok(Reply::Worker(id))
    }

    fn move_worker(&mut self, context: &mut Context<'_>, id: WorkerId, to: crate::domain::BatchId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let from = worker.batch;
        if from == to {
            return;
        }
        if let Some(batch) = self.batches.get_mut(&from) {
            batch.workers.remove(&id);
            if let Some(key) = worker.candidate_key.take() {
                batch.candidates.remove(&(key, id));
            }
        }
        worker.batch = to;
        if let Some(batch) = self.batches.get_mut(&to) {
            worker.settings.batch = batch.name.clone();
            batch.workers.insert(id);
        }
        for execution in self.executions_of(id, ExecutionState::Pending) {
            self.take_back(context, execution, "its worker was moved to another batch");
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
        self.leave_if_deleting(context, id);
        Ok(Reply::Worker(id))
    }

    /// Takes the record of a worker away once nothing runs on it and it is to go.
    pub(super) fn leave_if_deleting(&mut self, context: &mut Context<'_>, id: WorkerId) {
        let gone = self
            .workers
            .get(&id)
            .is_some_and(|worker| worker.deleting && worker.executions.is_empty());
        if !gone {
            return;
        }
        let Some(worker) = self.workers.remove(&id) else { return };
        if let Some(batch) = self.batches.get_mut(&worker.batch) {
            batch.workers.remove(&id);
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

    pub(super) fn create_token(
        &mut self,
        context: &mut Context<'_>,
        name: String,
        role: Role,
        hash: [u8; 32],
    ) -> Reply {
        let row = TokenRow {
            name,
            role,
            worker: None,
            hash,
            created_at: context.now.wall,
            created_by: context.actor.clone(),
        };
        let detail = format!("{role} {}", row.name);
        let id = self.add_token(context, row);
        audit(context, "token.create", format!("{id} {detail}"));
        Reply::Token(id)
    }

    pub(super) fn revoke_token(
        &mut self,
        context: &mut Context<'_>,
        id: TokenId,
    ) -> Result<Reply, Refusal> {
        if self.tokens.remove(&id).is_none() {
            return Err(Refusal::NoToken(id));
        }
        audit(context, "token.revoke", id.to_string());
        context.changes.tokens.insert(id, None);
        context.effects.push(Effect::TokensRevoked(vec![id]));
        Ok(Reply::Token(id))
    }

    pub(super) fn add_token(&mut self, context: &mut Context<'_>, row: TokenRow) -> TokenId {
        let id = self.next.token;
        self.next.token = id.next();
        self.record_next_ids(context);
        self.tokens.insert(id, row.worker);
        context.changes.tokens.insert(id, Some(row));
        id
    }

    /// Takes away the tokens that are bound to a worker.
    pub(super) fn revoke_tokens_of(
        &mut self,
        context: &mut Context<'_>,
        worker: WorkerId,
    ) -> Vec<TokenId> {
        let bound: Vec<TokenId> = self
            .tokens
            .iter()
            .filter(|(_, bound)| **bound == Some(worker))
            .map(|(id, _)| *id)
            .collect();
        for id in &bound {
            self.tokens.remove(id);
            context.changes.tokens.insert(*id, None);
        }
        bound
    }
}
