//! What people do to jobs and to hired workers.

use std::sync::Arc;

use crate::api::event::Event;
use crate::domain::job::{JobAction, JobState};
use crate::domain::{JobId, WorkerId};

use super::super::state::State;
use super::super::track::audit;
use super::super::{Context, Effect, Refusal, Reply};
use super::{JobOrder, TRIES};

impl State {
    /// Cancels a job. What it was making goes; what it was destroying stays.
    pub(super) fn cancel_job(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
    ) -> Result<Reply, Refusal> {
        let row = self.live_job(id)?.row.clone();
        audit(context, "job.cancel", id.to_string());
        match (row.action, row.worker) {
            (JobAction::Destroy, Some(worker)) if row.state == JobState::Pending => {
                self.close_job(context, id, JobState::Failed, Some("cancelled".into()));
                self.keep_worker(context, worker);
            }
            (JobAction::Create | JobAction::Deploy, Some(worker)) => {
                self.delete_worker(context, worker)?;
            }
            _ => self.want_no_more(context, id),
        }
        Ok(Reply::Jobs(vec![id]))
    }

    /// Starts a failed job anew. Where its machine is gone, another one is made.
    pub(super) fn retry_job(
        &mut self,
        context: &mut Context<'_>,
        id: JobId,
    ) -> Result<Reply, Refusal> {
        let row = self.hiring.jobs.get(&id).ok_or(Refusal::NoJob(id))?.row.clone();
        if !row.state.is_final() {
            return Err(Refusal::JobLives(id, row.state));
        }
        if row.state == JobState::Succeeded {
            return Err(Refusal::JobEnded(id, row.state));
        }
        if row.action == JobAction::Destroy {
            let worker = row.worker.ok_or(Refusal::NoMachineOf(id))?;
            self.delete_worker(context, worker)?;
            return Ok(Reply::Jobs(vec![id]));
        }
        let selection = row.order.wanted.selection().map_err(|_| Refusal::NoMachineOf(id))?;
        let (usage, now) = (self.usage(), context.now.monotonic);
        let market = &self.hiring.market;
        let scope = row.order.scope;
        // Who tries again does not want to wait until what failed has rested.
        let chosen = market
            .choose(&selection, scope, &usage, now)
            .or_else(|| market.first_with_room(&selection, scope, &usage))
            .cloned();
        let Some(flavor) = chosen else {
            return Err(market.refuse(&row.order.wanted, &selection, scope, now));
        };
        let worker = self.new_hired_worker(context, &flavor, &row.order);
        let name = self.workers.get(&worker).map(|worker| Arc::clone(&worker.name));
        if let Some(job) = self.hiring.jobs.get_mut(&id) {
            job.row.action = JobAction::Create;
            job.row.state = JobState::Pending;
            job.row.since = context.now.wall;
            job.row.worker = Some(worker);
            job.row.worker_name = name.unwrap_or_else(|| Arc::clone(&job.row.worker_name));
            job.row.provider = flavor.provider;
            job.row.region = flavor.region;
            job.row.flavor = flavor.name;
            job.row.tries_left = TRIES;
            job.row.cancelled = false;
            job.row.reason = None;
            job.failed_tries = 0;
        }
        audit(context, "job.retry", id.to_string());
        self.record_job(context, id);
        Ok(Reply::Jobs(vec![id]))
    }

    pub(super) fn delete_jobs(
        &mut self,
        context: &mut Context<'_>,
        ids: Vec<JobId>,
    ) -> Result<Reply, Refusal> {
        for id in &ids {
            let job = self.hiring.jobs.get(id).ok_or(Refusal::NoJob(*id))?;
            if !job.row.state.is_final() {
                return Err(Refusal::JobLives(*id, job.row.state));
            }
        }
        for id in &ids {
            let Some(job) = self.hiring.jobs.remove(id) else { continue };
            context.changes.jobs.insert(*id, None);
            let batch = job.row.order.settings.batch;
            context.effects.push(Effect::Publish(Event::JobDeleted { id: *id, batch }));
        }
        let shown: Vec<String> = ids.iter().take(100).map(ToString::to_string).collect();
        audit(context, "job.delete", shown.join(" "));
        Ok(Reply::Jobs(ids))
    }

    /// Has the machine of a hired worker destroyed, once nothing runs on it and no
    /// job is at it any more.
    pub(in crate::server::engine) fn destroy_machine(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
    ) {
        let live: Vec<(JobId, JobAction, JobState)> = self
            .hiring
            .jobs
            .iter()
            .filter(|(_, job)| job.row.worker == Some(id) && !job.row.state.is_final())
            .map(|(job_id, job)| (*job_id, job.row.action, job.row.state))
            .collect();
        if live.iter().any(|(_, action, _)| *action == JobAction::Destroy) {
            return;
        }
        for (job, _, state) in live {
            if state == JobState::Pending {
                self.close_job(context, job, JobState::Failed, Some("cancelled".into()));
            } else {
                self.want_no_more(context, job);
            }
        }
        let Some(order) = self.order_of(id) else { return };
        self.add_job(context, JobAction::Destroy, id, &order);
    }

    /// Takes a worker's record away whose machine is no more, and counts its cost.
    pub(super) fn forget_hired(&mut self, context: &mut Context<'_>, id: WorkerId) {
        self.count_cost(context, id);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.hire = None;
        }
        self.hiring.idle_since.remove(&id);
        let linked: Vec<JobId> = self
            .hiring
            .jobs
            .iter()
            .filter(|(_, job)| job.row.worker == Some(id))
            .map(|(job_id, _)| *job_id)
            .collect();
        for job_id in linked {
            if let Some(job) = self.hiring.jobs.get_mut(&job_id) {
                job.row.worker = None;
            }
            self.record_job(context, job_id);
        }
        // Refused only where there is no such worker.
        let _ = self.delete_worker(context, id);
        self.lose_rest(context, id);
    }

    /// What is still written down as running on a machine that is no more is lost.
    fn lose_rest(&mut self, context: &mut Context<'_>, id: WorkerId) {
        let left: Vec<_> = self
            .workers
            .get(&id)
            .map(|worker| worker.executions.iter().copied().collect())
            .unwrap_or_default();
        for execution in left {
            self.lose_execution(context, execution, "its machine is gone");
        }
    }

    /// A worker that was to be destroyed stays.
    pub(super) fn keep_worker(&mut self, context: &mut Context<'_>, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.deleting = false;
        let batch = worker.batch;
        self.record_worker(context, id);
        self.assign(context, batch);
    }

    /// The provider says that a machine is no more.
    pub(super) fn machine_gone(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
    ) -> Result<Reply, Refusal> {
        let worker = self.workers.get(&id).ok_or(Refusal::NoWorker(id))?;
        let is_quiet = worker.link.is_none() && worker.hire.is_some();
        if is_quiet && self.hiring.job_of(id).is_none() {
            // What else was made for it has to go as well.
            self.delete_worker(context, id)?;
        }
        Ok(Reply::Worker(id))
    }

    fn want_no_more(&mut self, context: &mut Context<'_>, id: JobId) {
        if let Some(job) = self.hiring.jobs.get_mut(&id) {
            job.row.cancelled = true;
        }
        self.record_job(context, id);
    }

    /// By which order a worker was hired.
    pub(super) fn order_of(&self, id: WorkerId) -> Option<JobOrder> {
        let worker = self.workers.get(&id)?;
        let hire = worker.hire.as_ref()?;
        Some(JobOrder {
            wanted: hire.wanted.clone(),
            scope: hire.scope,
            settings: worker.settings.clone(),
            recruiter: hire.recruiter,
        })
    }
}
