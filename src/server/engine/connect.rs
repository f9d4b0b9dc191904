//! Agents come and go.
//!
//! A hello names everything that the agent holds; the answer is a verdict on
//! each, and what the server holds for it and the agent does not know is sent
//! again or counted as lost. After that both sides agree, whatever either had
//! missed.

use rustc_hash::FxHashSet;

use crate::api::link::{Held, Verdict};
use crate::api::token::Role;
use crate::domain::execution::{ExecutionState, Phase, Suspension, TransferProgress};
use crate::domain::task::TaskEvent;
use crate::domain::worker::{Machine, SeenState, WantedState};
use crate::domain::{ExecutionId, TokenId, WorkerId};

use super::change::TokenRow;
use super::command::{Connect, Connected, Pulse};
use super::hiring::TO_BE;
use super::state::{LinkId, State, Worker};
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    pub(super) fn connect(
        &mut self,
        context: &mut Context<'_>,
        connect: &Connect,
    ) -> Result<Reply, Refusal> {
        let found = self.find_worker(connect)?;
        if let Some(worker) = found.and_then(|id| self.workers.get(&id))
            && worker.link.is_some()
            && worker.seen != SeenState::Offline
            && worker.instance != connect.instance
        {
            return Err(Refusal::AlreadyConnected(worker.name.clone()));
        }
        let id = match found {
            Some(id) => id,
            None => self.register(context, connect),
        };
        let Some(worker) = self.workers.get_mut(&id) else { return Err(Refusal::NoWorker(id)) };
        worker.link = Some(connect.link);
        if worker.seen == SeenState::Evicted && worker.instance != connect.instance {
            // It was given back after all, or made anew under its name.
            worker.seen = SeenState::Online;
        }
        worker.instance.clone_from(&connect.instance);
        worker.machine = machine_of(worker, connect);
        worker.version.clone_from(&connect.version);
        worker.leaving = connect.draining;
        worker.orphans.clone_from(&connect.orphans);
        if !worker.orphans.is_empty() {
            self.orphan_holders.insert(id);
        }
        worker.last_heard = context.now.monotonic;
        worker.last_contact = Some(context.now.wall);
        if worker.seen == SeenState::Offline {
            worker.seen = SeenState::Online;
        }
        let (settings, wanted, batch) = (worker.settings.clone(), worker.wanted, worker.batch);
        let lost_after = self.lost_after(batch);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.agent_lease = lost_after;
        }
        self.reweigh_worker(id);
        self.note_engine(id);
        let joins = connect.bound_to.is_none() || self.joins_once(id);
        let bound =
            connect.new_token.filter(|_| joins).map(|hash| self.bind_token(context, id, hash));
        let (token, revoked) =
            bound.map_or((None, Vec::new()), |(token, revoked)| (Some(token), revoked));
        let verdicts = self.reconcile(context, id, connect);
        self.record_worker(context, id);
        if let Some(worker) = self.workers.get(&id) {
            self.assign(context, worker.batch);
        }
        Ok(Reply::Connected(Box::new(Connected {
            worker: id,
            known: found.is_some(),
            settings,
            wanted,
            lost_after,
            verdicts,
            token,
            revoked,
        })))
    }

    /// The link of a worker is closed. It keeps what it holds until its leases end.
    pub(super) fn disconnect(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        link: LinkId,
    ) -> Reply {
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.link == Some(link)
        {
            worker.link = None;
            let drains = worker.leaving || worker.wanted == WantedState::Draining;
            if drains && worker.executions.is_empty() && worker.seen == SeenState::Online {
                // It has left as it was asked to: there is nothing to wait for.
                worker.seen = SeenState::Offline;
                self.record_worker(context, id);
            } else {
                self.rank_worker(id);
                self.publish_worker(context, id);
            }
        }
        Reply::Done
    }

    pub(super) fn heartbeat(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        link: LinkId,
        pulse: Pulse,
    ) -> Result<Reply, Refusal> {
        let Pulse { stats, phases, pulls, draining, lease, orphans, transfers } = pulse;
        self.hear(context, id, link)?;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.stats = Some(stats);
            worker.leaving = draining;
            worker.agent_lease = lease;
            if orphans.is_empty() {
                self.orphan_holders.remove(&id);
            } else {
                self.orphan_holders.insert(id);
            }
            worker.orphans = orphans;
            worker.pulls = pulls;
            let batch = worker.batch;
            self.rank_worker(id);
            self.assign(context, batch);
        }
        self.note_transfers(id, transfers);
        self.settle_with(context, id);
        for (execution, phase) in phases {
            let before_the_run = matches!(phase, Phase::Downloading | Phase::Ready);
            if before_the_run
                && let Some(live) = self.executions.get_mut(&execution)
                && live.worker == id
                && live.row.state == ExecutionState::Accepted
            {
                live.phase = phase;
                if phase == Phase::Ready {
                    live.ready_at = live.ready_at.or(Some(context.now.wall));
                }
            }
        }
        Ok(Reply::Done)
    }

    /// Notes how the downloads and uploads of a worker get on; the others it has
    /// not, or no longer.
    fn note_transfers(&mut self, id: WorkerId, transfers: Vec<(ExecutionId, TransferProgress)>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let told: Vec<ExecutionId> = transfers.iter().map(|(execution, _)| *execution).collect();
        for execution in std::mem::replace(&mut worker.transfers, told) {
            if let Some(live) = self.executions.get_mut(&execution) {
                live.transfer = None;
            }
        }
        for (execution, transfer) in transfers {
            if let Some(live) = self.executions.get_mut(&execution)
                && live.worker == id
            {
                live.transfer = Some(transfer);
            }
        }
    }

    /// Renews the leases of a worker that speaks over its present link.
    pub(super) fn hear(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        link: LinkId,
    ) -> Result<(), Refusal> {
        let worker = self.workers.get_mut(&id).ok_or(Refusal::NoWorker(id))?;
        if worker.link != Some(link) {
            return Err(Refusal::StaleLink);
        }
        worker.last_heard = context.now.monotonic;
        worker.last_contact = Some(context.now.wall);
        if worker.seen == SeenState::Offline {
            worker.seen = SeenState::Online;
            let batch = worker.batch;
            self.record_worker(context, id);
            self.assign(context, batch);
        }
        Ok(())
    }

    /// The worker that an agent speaks for: known by name and machine.
    fn find_worker(&self, connect: &Connect) -> Result<Option<WorkerId>, Refusal> {
        let found = self.workers.iter().find(|(_, worker)| {
            worker.name == connect.name && worker.machine.machine_id == connect.machine.machine_id
        });
        let found = found.map(|(id, _)| *id).or_else(|| self.hired_to_be(connect));
        match connect.bound_to {
            Some(bound) if found != Some(bound) => {
                Err(Refusal::OtherWorker { bound, name: connect.name.clone() })
            }
            _ => Ok(found),
        }
    }

    /// The hired worker for which an agent speaks that has not called before.
    fn hired_to_be(&self, connect: &Connect) -> Option<WorkerId> {
        let id = connect.bound_to?;
        let worker = self.workers.get(&id)?;
        let is_to_be = worker.machine.machine_id.starts_with(TO_BE);
        (worker.hire.is_some() && is_to_be && worker.name == connect.name).then_some(id)
    }

    pub(super) fn register(&mut self, context: &mut Context<'_>, connect: &Connect) -> WorkerId {
        let batch = self.batch_of(context, &connect.settings.batch);
        let id = self.next.worker;
        self.next.worker = id.next();
        self.record_next_ids(context);
        let worker = Worker {
            name: connect.name.clone(),
            machine: connect.machine.clone(),
            settings: connect.settings.clone(),
            batch,
            wanted: WantedState::Running,
            seen: SeenState::Online,
            failure: None,
            faults: Vec::new(),
            orphans: Vec::new(),
            pulls: Vec::new(),
            agent_lease: self.lost_after(batch),
            reserved_for: None,
            version: connect.version.clone(),
            succeeded: 0,
            failed: 0,
            registered_at: context.now.wall,
            created_by: context.actor.clone(),
            link: None,
            instance: String::new(),
            last_heard: context.now.monotonic,
            last_contact: Some(context.now.wall),
            stats: None,
            transfers: Vec::new(),
            executions: FxHashSet::default(),
            held: 0,
            candidate_key: None,
            leaving: false,
            deleting: false,
            hire: None,
        };
        self.workers.insert(id, worker);
        if let Some(batch) = self.batches.get_mut(&batch) {
            batch.workers.insert(id);
        }
        audit(context, "worker.register", format!("{id} {}", connect.name));
        id
    }

    /// Makes a token for a worker that joined; it replaces those from before.
    fn bind_token(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        hash: [u8; 32],
    ) -> (TokenId, Vec<TokenId>) {
        let revoked = self.revoke_tokens_of(context, id);
        let name = self.workers.get(&id).map_or_else(String::new, |worker| worker.name.to_string());
        let row = TokenRow {
            name,
            role: Role::Agent,
            worker: Some(id),
            hash,
            join_until: None,
            created_at: context.now.wall,
            created_by: context.actor.clone(),
            expires_at: None,
            last_used_at: None,
        };
        (self.add_token(context, row), revoked)
    }

    /// Compares what the agent holds with what it should hold.
    fn reconcile(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        connect: &Connect,
    ) -> Vec<(ExecutionId, Verdict)> {
        let same_store = connect
            .store
            .as_ref()
            .is_none_or(|(store, epoch)| *store == self.store && *epoch == self.epoch);
        let same_database = connect.store.as_ref().is_none_or(|(store, _)| *store == self.store);
        let mut verdicts = Vec::with_capacity(connect.held.len());
        let mut named = FxHashSet::default();
        for held in &connect.held {
            // Of another life of this database only that is known for sure which
            // is live in this one too: ids that were given out since the copy
            // was made are skipped here.
            let is_known = same_store || same_database && self.is_held_by(id, held);
            let verdict = if is_known {
                named.insert(held.execution);
                self.verdict_on_held(context, id, held)
            } else {
                Verdict::Unknown
            };
            verdicts.push((held.execution, verdict));
        }
        let mut expected: Vec<ExecutionId> = self
            .workers
            .get(&id)
            .map(|worker| worker.executions.iter().copied().collect())
            .unwrap_or_default();
        expected.sort_unstable();
        for execution in expected {
            if named.contains(&execution) {
                continue;
            }
            let Some(live) = self.executions.get(&execution) else { continue };
            if live.row.state == ExecutionState::Pending {
                context.effects.push(Effect::Start {
                    worker: id,
                    execution,
                    task: live.row.task,
                    attempt: live.row.attempt,
                    revision: live.row.revision,
                });
                self.tell_suspension_if_any(context, execution);
            } else if live.row.outcome.is_some() {
                let row = Box::new(live.row.clone());
                context.effects.push(Effect::Resend { worker: id, execution, row });
            } else {
                self.lose_execution(context, execution, "the agent came back without it");
            }
        }
        verdicts
    }

    /// Whether this is a live execution of this worker, for this task.
    fn is_held_by(&self, worker: WorkerId, held: &Held) -> bool {
        self.executions
            .get(&held.execution)
            .is_some_and(|execution| execution.worker == worker && execution.row.task == held.task)
    }

    fn verdict_on_held(
        &mut self,
        context: &mut Context<'_>,
        worker: WorkerId,
        held: &Held,
    ) -> Verdict {
        let id = held.execution;
        let Some(execution) = self.executions.get_mut(&id) else {
            return self.verdict_on_stranger(id, held.ended);
        };
        if execution.row.task != held.task {
            // An id is given out once: this database is a copy from before it
            // was, and has given it out again. That is no reason to kill.
            return Verdict::Unknown;
        }
        if execution.worker != worker {
            return Verdict::Superseded;
        }
        let task = execution.row.task;
        if held.started_at.is_some() && execution.row.state != ExecutionState::Running {
            execution.row.state = ExecutionState::Running;
            execution.row.started_at = held.started_at;
            execution.row.accepted_at = execution.row.accepted_at.or(held.accepted_at);
            self.set_phase(id, Phase::Running);
            self.record_execution(context, id);
            self.move_task(context, task, TaskEvent::Start(id), None);
            self.hold_if_paused(context, task);
        }
        self.catch_up(context, id, held);
        self.verdict_on_live(id)
    }

    /// Tells an agent again what it may have missed of an execution that it holds.
    fn catch_up(&mut self, context: &mut Context<'_>, id: ExecutionId, held: &Held) {
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.row.revision = execution.row.revision.max(held.revision);
        let (worker, task) = (execution.worker, execution.row.task);
        let revision = self.tasks.get(&task).map_or(0, |task| task.revision);
        if held.started_at.is_some() {
            self.end_if_outdated(context, id);
        } else if held.revision < revision && !held.ended {
            context.effects.push(Effect::Edit { worker, execution: id, task, revision });
        }
        self.tell_suspension_if_any(context, id);
    }

    /// Agents let go on after a hello whatever they are not told to hold back.
    fn tell_suspension_if_any(&self, context: &mut Context<'_>, id: ExecutionId) {
        if self.suspension_of(id) != Suspension::No {
            self.tell_suspension(context, id);
        }
    }
}

/// What an agent says of its machine, and what is known of it since it was hired.
fn machine_of(worker: &Worker, connect: &Connect) -> Machine {
    let mut machine = connect.machine.clone();
    if let Some(hire) = &worker.hire {
        machine.flavor = Some(hire.flavor.to_string());
        machine.region = Some(hire.region.to_string());
        machine.provider = Some(hire.provider.to_string());
    }
    machine
}
