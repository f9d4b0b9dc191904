//! Hiring: a worker's record and the job that fetches its machine are written down
//! together, before any provider is asked.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::domain::flavor::Flavor;
use crate::domain::hire::Hire;
use crate::domain::job::JobAction;
use crate::domain::worker::{Machine, SeenState};
use crate::domain::{JobId, WorkerId};

use super::super::command::Connect;
use super::super::state::{LinkId, State};
use super::super::track::audit;
use super::super::{Context, Refusal, Reply};
use super::{HireWorkers, HiringCommand, JobOrder};

impl State {
    pub(in crate::server::engine) fn on_hiring(
        &mut self,
        context: &mut Context<'_>,
        command: HiringCommand,
    ) -> Result<Reply, Refusal> {
        match command {
            HiringCommand::SetProviders { head, providers } => {
                self.hiring.market.head = head;
                self.hiring.market.providers = providers.into_iter().collect();
                let flavors = Arc::clone(&self.hiring.market.flavors);
                self.hiring.market.set_flavors(flavors.to_vec());
                self.hiring.ask_all();
                Ok(Reply::Done)
            }
            HiringCommand::SetFlavors(flavors) => {
                self.hiring.market.set_flavors(flavors);
                self.hiring.ask_all();
                Ok(Reply::Done)
            }
            HiringCommand::Hire(wish) => self.hire(context, &wish),
            HiringCommand::Decide => {
                self.recruit(context);
                Ok(Reply::Done)
            }
            HiringCommand::StartJob(job) => self.start_job(context, job),
            HiringCommand::JoinToken { job, hash, valid_for } => {
                self.join_token(context, job, hash, valid_for)
            }
            HiringCommand::Made { job, machine } => self.machine_made(context, job, machine),
            HiringCommand::Progress { job, percent, line } => {
                self.note_progress(context, job, percent, line)
            }
            HiringCommand::EndJob { job, end } => self.end_job(context, job, end),
            HiringCommand::CancelJob(job) => self.cancel_job(context, job),
            HiringCommand::RetryJob(job) => self.retry_job(context, job),
            HiringCommand::DeleteJobs(jobs) => self.delete_jobs(context, jobs),
            HiringCommand::SetRecruiter { batch, rank, recruiter } => {
                self.set_recruiter(context, &batch, rank, *recruiter)
            }
            HiringCommand::DeleteRecruiter { batch, rank } => {
                self.delete_recruiter(context, &batch, rank)
            }
            HiringCommand::Gone(worker) => self.machine_gone(context, worker),
        }
    }

    /// Hires as many as are wanted, or none at all.
    fn hire(&mut self, context: &mut Context<'_>, wish: &HireWorkers) -> Result<Reply, Refusal> {
        let selection = wish.wanted.selection().map_err(|error| Refusal::NoMachine {
            message: error.to_string().into(),
            hint: format!("`{}`", wish.wanted.flavor).into(),
        })?;
        let market = &self.hiring.market;
        market.check_names(&wish.wanted, &selection, wish.scope)?;
        let (mut usage, now) = (self.usage(), context.now.monotonic);
        let mut chosen: Vec<Flavor> = Vec::new();
        for _ in 0..wish.number {
            let Some(flavor) = market.choose(&selection, wish.scope, &usage, now) else {
                let why = market.refuse(&wish.wanted, &selection, wish.scope, now);
                return Err(match why {
                    Refusal::NoMachine { hint, .. } if !chosen.is_empty() => Refusal::NoMachine {
                        message: format!(
                            "only {} of {} workers can be hired now",
                            chosen.len(),
                            wish.number
                        )
                        .into(),
                        hint,
                    },
                    other => other,
                });
            };
            usage.add(&flavor.provider, &flavor.region, flavor.cpu, flavor.ram);
            chosen.push(flavor.clone());
        }
        let order = JobOrder {
            wanted: wish.wanted.clone(),
            scope: wish.scope,
            settings: wish.settings.clone(),
            recruiter: None,
        };
        let (workers, jobs) =
            chosen.iter().map(|flavor| self.hire_one(context, flavor, &order)).unzip();
        Ok(Reply::Hired { workers, jobs })
    }

    /// Hires one machine of that flavor.
    pub(super) fn hire_one(
        &mut self,
        context: &mut Context<'_>,
        flavor: &Flavor,
        order: &JobOrder,
    ) -> (WorkerId, JobId) {
        let worker = self.new_hired_worker(context, flavor, order);
        let job = self.add_job(context, JobAction::Create, worker, order);
        (worker, job)
    }

    /// The record of a worker that is yet to be made.
    pub(super) fn new_hired_worker(
        &mut self,
        context: &mut Context<'_>,
        flavor: &Flavor,
        order: &JobOrder,
    ) -> WorkerId {
        let name = self.free_name();
        let connect = Connect {
            link: LinkId(0),
            bound_to: None,
            new_token: None,
            name: Arc::clone(&name),
            machine: self.machine_to_be(&name, flavor),
            version: String::new(),
            instance: String::new(),
            settings: order.settings.clone(),
            store: None,
            held: Vec::new(),
            draining: false,
            orphans: Vec::new(),
        };
        let id = self.register(context, &connect);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.seen = SeenState::Offline;
            worker.last_contact = None;
            worker.hire = Some(Box::new(hire_of(flavor, order, context)));
        }
        self.record_worker(context, id);
        audit(context, "worker.hire", format!("{id} {name} {} {}", flavor.name, flavor.region));
        id
    }

    /// Has a worker made of another flavor than before.
    pub(super) fn rehire(
        &mut self,
        context: &mut Context<'_>,
        id: WorkerId,
        flavor: &Flavor,
        order: &JobOrder,
    ) {
        let Some(name) = self.workers.get(&id).map(|worker| Arc::clone(&worker.name)) else {
            return;
        };
        let machine = self.machine_to_be(&name, flavor);
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.machine = machine;
            worker.hire = Some(Box::new(hire_of(flavor, order, context)));
        }
        self.record_worker(context, id);
    }

    /// What is known of a machine before its agent has called.
    fn machine_to_be(&self, name: &Arc<str>, flavor: &Flavor) -> Machine {
        Machine {
            hostname: name.to_string(),
            machine_id: format!("{TO_BE}{}", self.store),
            cores: flavor.cpu,
            memory_bytes: bytes(flavor.ram.unwrap_or(0.0)),
            flavor: Some(flavor.name.to_string()),
            region: Some(flavor.region.to_string()),
            provider: Some(flavor.provider.to_string()),
            ..Machine::default()
        }
    }

    /// `<head>-node<i>` with the lowest i that no worker has.
    fn free_name(&self) -> Arc<str> {
        let head = match &*self.hiring.market.head {
            "" => "head",
            head => head,
        };
        let taken: FxHashSet<u64> = self
            .workers
            .values()
            .filter_map(|worker| {
                worker.name.strip_prefix(head)?.strip_prefix("-node")?.parse().ok()
            })
            .collect();
        let mut number = 1;
        while taken.contains(&number) {
            number += 1;
        }
        format!("{head}-node{number}").into()
    }
}

/// How the machine id of a worker begins whose agent has not called yet.
pub(in crate::server::engine) const TO_BE: &str = "hired:";

fn hire_of(flavor: &Flavor, order: &JobOrder, context: &Context<'_>) -> Hire {
    Hire {
        provider: flavor.provider.clone(),
        region: flavor.region.clone(),
        flavor: flavor.name.clone(),
        wanted: order.wanted.clone(),
        scope: order.scope,
        machine: None,
        cpu: flavor.cpu,
        ram: flavor.ram,
        cost: flavor.cost,
        currency: flavor.currency.clone(),
        hired_at: context.now.wall,
        recruiter: order.recruiter,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "kept within bounds")]
fn bytes(gibibytes: f64) -> u64 {
    (gibibytes.clamp(0.0, 1e9) * f64::from(1 << 30)) as u64
}
