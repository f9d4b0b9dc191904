//! Jobs: what is to be done at a provider, one step after the other.
//!
//! A try that came to nothing is followed by another one, by the next best flavor, or
//! by a job that takes away what was made: a job never ends with a machine that
//! nobody uses.

use std::sync::Arc;
use std::time::Duration;

use crate::api::event::Event;
use crate::api::token::Role;
use crate::domain::job::{JobAction, JobFailure, JobState};
use crate::domain::{JobId, Monotonic, TokenId, WorkerId};

use super::super::change::TokenRow;
use super::super::state::State;
use super::super::track::audit;
use super::super::{Context, Effect, Refusal, Reply};
use super::cost::is_affordable;
use super::{Job, JobEnd, JobOrder, JobRow, KEPT_JOBS, REST, Rest, Spot, TRIES};

/// Wait after the first try that failed, doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// How long a flavor rests that can never be hired.
const LONG_REST: Duration = Duration::from_hours(1);

impl State {
    pub(super) fn add_job(
        &mut self,
        context: &mut Context<'_>,
        action: JobAction,
        worker: WorkerId,
        order: &JobOrder,
    ) -> JobId {
        let id = self.next.job;
        self.next.job = id.next();
        self.record_next_ids(context);
        if let Some(row) = self.new_job_row(context, action, worker, order) {
            self.hiring.jobs.insert(id, Job::new(row));
            self.record_job(context, id);
        }
        self.forget_old_jobs(context);
        id
    }

    fn new_job_row(
        &self,
        context: &Context<'_>,
        action: JobAction,
        id: WorkerId,
        order: &JobOrder,
    ) -> Option<JobRow> {
        let worker = self.workers.get(&id)?;
        let hire = worker.hire.as_ref()?;
        Some(JobRow {
            action,
            state: JobState::Pending,
            worker: Some(id),
            worker_name: Arc::clone(&worker.name),
            provider: hire.provider.clone(),
            region: hire.region.clone(),
            flavor: hire.flavor.clone(),
            order: order.clone(),
            tries_left: TRIES,
            cancelled: false,
            reason: None,
            created_at: context.now.wall,
            since: context.now.wall,
            created_by: Arc::clone(context.actor),
        })
    }

    /// Jobs that somebody should carry out now.
    #[must_use]
    pub fn due_jobs(&self, now: Monotonic) -> Vec<JobId> {
        let is_due = |id: &JobId, job: &Job| {
            job.row.state == JobState::Pending
                && job.not_before.is_none_or(|time| time <= now)
                && (job.row.action != JobAction::Destroy || self.may_destroy(*id, job))
        };
        self.hiring.jobs.iter().filter(|(id, job)| is_due(id, job)).map(|(id, _)| *id).collect()
    }

    /// A machine is destroyed when nothing runs on it and no other job is at it.
    fn may_destroy(&self, id: JobId, job: &Job) -> bool {
        let Some(worker) = job.row.worker else { return true };
        let is_free = self.workers.get(&worker).is_none_or(|worker| worker.executions.is_empty());
        let others = self.hiring.jobs.iter().filter(|(other, _)| **other != id);
        is_free
            && !others
                .into_iter()
                .any(|(_, job)| job.row.worker == Some(worker) && !job.row.state.is_final())
    }

    pub(super) fn start_job(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
    ) -> Result<Reply, Refusal> {
        let job = self.live_job(id)?;
        if job.row.state == JobState::Running {
            return Err(Refusal::JobLives(id, job.row.state));
        }
        job.row.state = JobState::Running;
        job.row.since = context.now.wall;
        job.not_before = None;
        job.progress = None;
        self.record_job(context, id);
        Ok(Reply::Done)
    }

    /// Makes a token with which the machine of a job joins. Those of earlier tries
    /// hold until one of them is used: a machine that a killed server has made has
    /// an earlier one.
    pub(super) fn join_token(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
        hash: [u8; 32],
        valid_for: Duration,
    ) -> Result<Reply, Refusal> {
        let row = &self.live_job(id)?.row;
        let (worker, name) = (row.worker.ok_or(Refusal::NoMachineOf(id))?, row.worker_name.clone());
        let valid = i64::try_from(valid_for.as_micros()).unwrap_or(i64::MAX);
        let until = crate::domain::Timestamp(context.now.wall.0.saturating_add(valid));
        let token = self.add_token(
            context,
            TokenRow {
                name: name.to_string(),
                role: Role::Agent,
                worker: Some(worker),
                hash,
                join_until: Some(until),
                expires_at: Some(until),
                last_used_at: None,
                created_at: context.now.wall,
                created_by: Arc::clone(context.actor),
            },
        );
        self.hiring.join_tokens.insert(token, until);
        Ok(Reply::Token(token))
    }

    /// Takes tokens away with which nobody has joined in time.
    pub(super) fn expire_join_tokens(&mut self, context: &mut Context<'_>) {
        let tokens = &self.tokens;
        self.hiring.join_tokens.retain(|id, _| tokens.contains_key(id));
        let late = self.hiring.join_tokens.iter().filter(|(_, until)| **until <= context.now.wall);
        let late: Vec<TokenId> = late.map(|(id, _)| *id).collect();
        for id in &late {
            self.hiring.join_tokens.remove(id);
            self.tokens.remove(id);
            context.changes.tokens.insert(*id, None);
        }
        if !late.is_empty() {
            context.effects.push(Effect::TokensRevoked(late));
        }
    }

    /// Whether an agent that speaks for this worker shows a token with which it joins.
    pub(in crate::server::engine) fn joins_once(&self, worker: WorkerId) -> bool {
        self.hiring
            .join_tokens
            .keys()
            .any(|token| self.tokens.get(token).copied().flatten() == Some(worker))
    }

    pub(super) fn machine_made(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
        machine: String,
    ) -> Result<Reply, Refusal> {
        let job = self.live_job(id)?;
        if job.row.action == JobAction::Create {
            job.row.action = JobAction::Deploy;
        }
        let worker = job.row.worker.ok_or(Refusal::NoMachineOf(id))?;
        self.record_job(context, id);
        if let Some(hire) = self.workers.get_mut(&worker).and_then(|worker| worker.hire.as_mut()) {
            hire.machine = Some(machine);
        }
        self.record_worker(context, worker);
        Ok(Reply::Done)
    }

    pub(super) fn note_progress(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
        percent: Option<u8>,
        line: Option<Arc<str>>,
    ) -> Result<Reply, Refusal> {
        let job = self.live_job(id)?;
        job.progress = percent.map(|percent| percent.min(100)).or(job.progress);
        job.line = line.or_else(|| job.line.take());
        self.publish_job(context, id);
        Ok(Reply::Done)
    }

    pub(super) fn end_job(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
        end: JobEnd,
    ) -> Result<Reply, Refusal> {
        let job = self.live_job(id)?;
        let (action, worker) = (job.row.action, job.row.worker);
        match end {
            JobEnd::Done if action == JobAction::Destroy => {
                self.close_job(context, id, JobState::Succeeded, None);
                if let Some(worker) = worker {
                    self.forget_hired(context, worker);
                }
            }
            // What is wanted no longer goes, also when it has just come.
            JobEnd::Done if job.row.cancelled => {
                self.close_job(context, id, JobState::Failed, Some("cancelled".into()));
            }
            JobEnd::Done => self.close_job(context, id, JobState::Succeeded, None),
            JobEnd::Failed { failure, reason, retry_after } => {
                let failure = if job.row.cancelled { JobFailure::Cancelled } else { failure };
                self.on_failed_try(context, id, failure, &reason, retry_after);
            }
        }
        Ok(Reply::Done)
    }

    fn on_failed_try(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
        failure: JobFailure,
        reason: &Arc<str>,
        retry_after: Option<Duration>,
    ) {
        let Some(row) = self.hiring.jobs.get(&id).map(|job| job.row.clone()) else { return };
        let is_destroy = row.action == JobAction::Destroy;
        let rest = match failure {
            JobFailure::Cancelled => None,
            JobFailure::Unsupported => Some(LONG_REST),
            _ => Some(retry_after.unwrap_or(REST).max(REST)),
        };
        match failure {
            // What costs money is destroyed however often it takes.
            _ if is_destroy && failure != JobFailure::Cancelled => {
                self.try_again(context, id, reason, retry_after);
            }
            JobFailure::Transient if row.tries_left > 1 => {
                self.try_again(context, id, reason, retry_after);
            }
            JobFailure::Quota | JobFailure::Capacity => {
                self.let_rest(context, &row, reason, rest, Whole::One);
                if !self.try_next_best(context, id, reason) {
                    self.give_up(context, id, reason);
                }
            }
            JobFailure::Cancelled if is_destroy => {
                self.close_job(context, id, JobState::Failed, Some("cancelled".into()));
                if let Some(worker) = row.worker {
                    self.keep_worker(context, worker);
                }
            }
            _ => {
                let whole = if failure == JobFailure::Authentication {
                    Whole::Provider
                } else {
                    Whole::One
                };
                self.let_rest(context, &row, reason, rest, whole);
                self.give_up(context, id, reason);
            }
        }
    }

    fn try_again(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
        reason: &Arc<str>,
        retry_after: Option<Duration>,
    ) {
        let Some(job) = self.hiring.jobs.get_mut(&id) else { return };
        job.row.state = JobState::Pending;
        job.row.since = context.now.wall;
        job.row.reason = Some(Arc::clone(reason));
        job.row.tries_left = job.row.tries_left.saturating_sub(1).max(1);
        if job.row.action == JobAction::Deploy {
            job.row.action = JobAction::Create;
        }
        let forgets = job.row.action == JobAction::Create;
        let worker = job.row.worker;
        job.failed_tries += 1;
        let wait = FIRST_WAIT * (1 << (job.failed_tries - 1).min(10));
        let wait = wait.max(retry_after.unwrap_or_default()).min(LONGEST_WAIT);
        job.not_before = Some(context.now.monotonic.after(wait));
        self.record_job(context, id);
        if let Some(worker) = worker.filter(|_| forgets) {
            self.forget_machine(context, worker);
        }
    }

    /// What was made in an earlier try is found by its tag, whatever it was called.
    fn forget_machine(&mut self, context: &mut Context<'_>, id: WorkerId) {
        if let Some(hire) = self.workers.get_mut(&id).and_then(|worker| worker.hire.as_mut()) {
            hire.machine = None;
        }
        self.record_worker(context, id);
    }

    /// Goes on with the next flavor that is meant; nothing was made of the last one.
    fn try_next_best(&mut self, context: &mut Context<'_>, id: JobId, reason: &Arc<str>) -> bool {
        let Some(row) = self.hiring.jobs.get(&id).map(|job| job.row.clone()) else { return false };
        let Ok(selection) = row.order.wanted.selection() else { return false };
        let Some(worker) = row.worker else { return false };
        let usage = self.usage();
        let market = &self.hiring.market;
        let batch = self.workers.get(&worker).map(|worker| worker.batch);
        let left = batch.and_then(|batch| self.cost_left(batch, Some(worker)));
        let flavor = market
            .offers(&selection, row.order.scope, &usage, context.now.monotonic)
            .find(|offer| offer.available != Some(0) && is_affordable(offer.flavor, left))
            .map(|offer| offer.flavor.clone());
        let Some(flavor) = flavor else { return false };
        self.rehire(context, worker, &flavor, &row.order);
        if let Some(job) = self.hiring.jobs.get_mut(&id) {
            job.row.action = JobAction::Create;
            job.row.state = JobState::Pending;
            job.row.since = context.now.wall;
            job.row.reason = Some(Arc::clone(reason));
            job.row.provider = flavor.provider;
            job.row.region = flavor.region;
            job.row.flavor = flavor.name;
        }
        self.record_job(context, id);
        true
    }

    /// Fails a job, and takes away what was made.
    fn give_up(&mut self, context: &mut Context<'_>, id: JobId, reason: &Arc<str>) {
        let worker = self.hiring.jobs.get(&id).and_then(|job| job.row.worker);
        self.close_job(context, id, JobState::Failed, Some(Arc::clone(reason)));
        if let Some(worker) = worker.filter(|worker| self.workers.contains_key(worker)) {
            // Refused only where there is no such worker.
            let _ = self.delete_worker(context, worker);
        }
    }

    fn let_rest(
        &mut self,
        context: &Context<'_>,
        row: &JobRow,
        reason: &Arc<str>,
        rest: Option<Duration>,
        whole: Whole,
    ) {
        let Some(rest) = rest else { return };
        let place = match whole {
            Whole::Provider => None,
            Whole::One => Some((row.region.clone(), row.flavor.clone())),
        };
        let spot = Spot { provider: row.provider.clone(), place };
        let until = context.now.monotonic.after(rest);
        self.hiring.market.resting.insert(spot, Rest { until, reason: Arc::clone(reason) });
    }

    pub(super) fn close_job(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
        state: JobState,
        reason: Option<Arc<str>>,
    ) {
        let Some(job) = self.hiring.jobs.get_mut(&id) else { return };
        job.row.state = state;
        job.row.since = context.now.wall;
        job.row.reason = reason;
        job.progress = None;
        job.not_before = None;
        let detail = format!("{id} {} {} {state}", job.row.action, job.row.worker_name);
        audit(context, "job.end", detail);
        self.record_job(context, id);
        if let Some(batch) = self.batch_of_job(id) {
            self.hiring.ask(batch);
        }
    }

    fn batch_of_job(&self, id: JobId) -> Option<crate::domain::BatchId> {
        let worker = self.hiring.jobs.get(&id)?.row.worker?;
        self.workers.get(&worker).map(|worker| worker.batch)
    }

    pub(super) fn live_job(&mut self, id: JobId) -> Result<&mut Job, Refusal> {
        let job = self.hiring.jobs.get_mut(&id).ok_or(Refusal::NoJob(id))?;
        if job.row.state.is_final() { Err(Refusal::JobEnded(id, job.row.state)) } else { Ok(job) }
    }

    pub(super) fn record_job(&self, context: &mut Context<'_>, id: JobId) {
        if let Some(job) = self.hiring.jobs.get(&id) {
            context.changes.jobs.insert(id, Some(job.row.clone()));
            context.effects.push(Effect::Jobs);
        }
        self.publish_job(context, id);
    }

    fn publish_job(&self, context: &mut Context<'_>, id: JobId) {
        if let Some(job) = self.hiring.jobs.get(&id) {
            context.effects.push(Effect::Publish(Event::Job {
                id,
                batch: job.row.order.settings.batch.clone(),
                state: job.row.state,
            }));
        }
    }

    /// Ended jobs beyond those that are kept are forgotten, the oldest first.
    fn forget_old_jobs(&mut self, context: &mut Context<'_>) {
        if self.hiring.jobs.len() <= KEPT_JOBS {
            return;
        }
        let excess = self.hiring.jobs.len() - KEPT_JOBS;
        let ended = self.hiring.jobs.iter().filter(|(_, job)| job.row.state.is_final());
        let old: Vec<JobId> = ended.map(|(id, _)| *id).take(excess).collect();
        for id in old {
            self.hiring.jobs.remove(&id);
            context.changes.jobs.insert(id, None);
        }
    }
}

/// How much of a provider rests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Provider,
    /// One flavor in one region.
    One,
}
