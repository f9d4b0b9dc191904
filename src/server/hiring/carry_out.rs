//! One job, from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::journal::JobJournal;
use super::provider::{
    AgentOrder, ErrorClass, Hired, Journal, MachineId, MachineStatus, Order, Provider,
    ProviderError, Secret,
};
use super::service::HiringService;
use crate::api::token::Role;
use crate::domain::hire::Hire;
use crate::domain::job::{JobAction, JobFailure};
use crate::domain::{JobId, WorkerId};
use crate::server::auth::{self, Principal};
use crate::server::engine::hiring::{HiringCommand, JobEnd, JobRow};
use crate::server::engine::{Refusal, Reply};

/// A call that goes on after its job was cancelled is dropped after this.
const CANCEL_WITHIN: Duration = Duration::from_secs(30);
/// Time between two questions to a provider how a machine is whose agent is awaited.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What is known of a job as it starts.
struct Task {
    row: JobRow,
    worker: WorkerId,
    hire: Hire,
}

impl HiringService {
    pub(super) async fn carry_out(&self, id: JobId, cancelled: CancellationToken) {
        if self.apply(HiringCommand::StartJob(id)).await.is_err() {
            // It was changed meanwhile, or nothing can be stored now.
            return;
        }
        let Some(task) = self.find(id).await else { return };
        let journal = JobJournal::new(id, &self.tools.engine, &self.logs, cancelled);
        let (row, hire) = (&task.row, &task.hire);
        journal.line(&format!(
            "{} {}: {} in {} of {}",
            row.action, row.worker_name, hire.flavor, hire.region, hire.provider
        ));
        let outcome = match (row.action, self.provider(&hire.provider)) {
            (_, Err(reason)) => Err(ProviderError::new(ErrorClass::Unsupported, reason)),
            (JobAction::Destroy, Ok(provider)) => self.destroy(&task, &*provider, &journal).await,
            (_, Ok(provider)) => self.fetch(id, &task, &*provider, &journal).await,
        };
        let end = match outcome {
            Ok(()) => {
                journal.line("done");
                JobEnd::Done
            }
            Err(error) => {
                journal.line(&format!("failed: {error}"));
                JobEnd::Failed {
                    failure: failure_of(error.class),
                    reason: journal.without_secrets(&error.message).into(),
                    retry_after: error.retry_after,
                }
            }
        };
        self.end(id, end).await;
    }

    /// Says how a job ended, until it is on disk or nobody wants to know any more.
    async fn end(&self, id: JobId, end: JobEnd) {
        loop {
            let command = HiringCommand::EndJob { job: id, end: end.clone() };
            match self.apply(command).await {
                Err(Refusal::Unavailable(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
                _ => return,
            }
        }
    }

    async fn find(&self, id: JobId) -> Option<Task> {
        let found = self.tools.engine.query(move |state| {
            let row = state.hiring.jobs.get(&id)?.row.clone();
            let worker = row.worker?;
            let hire = state.workers.get(&worker)?.hire.as_deref()?.clone();
            Some(Task { row, worker, hire })
        });
        found.await.ok().flatten()
    }

    /// Makes the machine, brings the agent onto it, and waits for the agent's call.
    async fn fetch(
        &self,
        id: JobId,
        task: &Task,
        provider: &dyn Provider,
        journal: &JobJournal,
    ) -> Result<(), ProviderError> {
        let order = self.order(id, task, journal).await?;
        let made = self.make(id, &order, provider, journal).await;
        let outcome = match made {
            Ok(machine) => {
                let hired = hired(&order, Some(machine));
                self.await_agent(task.worker, &hired, provider, journal).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = outcome else { return Ok(()) };
        if matches!(error.class, ErrorClass::Authentication | ErrorClass::Cancelled) {
            // The job that takes away what was made comes next.
            return Err(error);
        }
        // The next try begins on clean ground.
        journal.line(&format!("failed: {error}; taking away what was made"));
        match provider.destroy(&hired(&order, None), journal).await {
            Ok(()) => Err(error),
            Err(left) if error.class == ErrorClass::Transient => {
                journal.line(&format!("cannot take it away: {left}"));
                Err(error)
            }
            Err(left) => Err(ProviderError::new(
                ErrorClass::Transient,
                format!("{error}; and what was made cannot be taken away: {left}"),
            )),
        }
    }

    async fn make(
        &self,
        id: JobId,
        order: &Order,
        provider: &dyn Provider,
        journal: &JobJournal,
    ) -> Result<MachineId, ProviderError> {
        let machine = until_cancelled(provider.create(order, journal), journal).await?;
        let made = HiringCommand::Made { job: id, machine: machine.0.clone() };
        self.apply(made).await.map_err(|error| refused(&error))?;
        journal.line(&format!("the machine is {machine}"));
        until_cancelled(provider.deploy(order, &machine, journal), journal).await?;
        Ok(machine)
    }

    /// Waits until the agent has called, and gives up where its machine is no more.
    async fn await_agent(
        &self,
        worker: WorkerId,
        hired: &Hired,
        provider: &dyn Provider,
        journal: &JobJournal,
    ) -> Result<(), ProviderError> {
        journal.line("waiting for the agent to call");
        let limit = self.settings.join_within();
        let waiting = async {
            let mut ask = tokio::time::interval(ASK_AGAIN);
            ask.tick().await;
            loop {
                if self.has_called(worker).await {
                    return Ok(());
                }
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                    () = journal.cancelled() => return Err(ProviderError::cancelled()),
                    _ = ask.tick() => still_there(provider.status(hired).await)?,
                }
            }
        };
        tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| {
            Err(ProviderError::new(
                ErrorClass::Transient,
                format!("no agent has called within {} s", limit.as_secs()),
            ))
        })
    }

    async fn has_called(&self, worker: WorkerId) -> bool {
        let asked = self.tools.engine.query(move |state| {
            state.workers.get(&worker).is_some_and(|worker| worker.link.is_some())
        });
        asked.await.unwrap_or(false)
    }

    async fn destroy(
        &self,
        task: &Task,
        provider: &dyn Provider,
        journal: &JobJournal,
    ) -> Result<(), ProviderError> {
        let hired = Hired {
            worker: Arc::clone(&task.row.worker_name),
            tag: self.tools.tag.clone(),
            region: task.hire.region.clone(),
            machine: task.hire.machine.clone().map(MachineId),
        };
        until_cancelled(provider.destroy(&hired, journal), journal).await
    }

    /// What the provider is asked for, with a fresh token to join with.
    async fn order(
        &self,
        id: JobId,
        task: &Task,
        journal: &JobJournal,
    ) -> Result<Order, ProviderError> {
        let hire = &task.hire;
        let secret = auth::Secret::generate().map_err(|error| {
            ProviderError::new(ErrorClass::Transient, format!("no randomness: {error}"))
        })?;
        journal.keep_secret(secret.expose());
        let valid_for = self.settings.join_within() * 4;
        let command = HiringCommand::JoinToken { job: id, hash: secret.hash().0, valid_for };
        let Reply::Token(token) = self.apply(command).await.map_err(|error| refused(&error))?
        else {
            return Err(ProviderError::new(ErrorClass::Transient, "no token was made"));
        };
        self.tools.tokens.insert(
            secret.hash(),
            Principal {
                token: Some(token),
                name: task.row.worker_name.to_string(),
                role: Role::Agent,
                worker: Some(task.worker),
            },
        );
        Ok(Order {
            worker: Arc::clone(&task.row.worker_name),
            tag: self.tools.tag.clone(),
            flavor: hire.flavor.clone(),
            region: hire.region.clone(),
            agent: AgentOrder {
                server: self.address_for(&hire.provider)?,
                token: Secret::new(match self.tools.fingerprint {
                    Some(fingerprint) => fingerprint.in_token(secret.expose()),
                    None => secret.expose().to_owned(),
                }),
                fingerprint: self.tools.fingerprint.map(|known| known.in_hexadecimal()),
                settings: task.row.order.settings.clone(),
                provider: hire.provider.as_str().into(),
            },
        })
    }

    /// Where the machines of a provider reach the head.
    pub(super) fn address_for(
        &self,
        provider: &crate::domain::ProviderName,
    ) -> Result<String, ProviderError> {
        let is_here = self.providers.get(provider).is_some_and(|known| known.kind == "local");
        if is_here {
            return Ok(self.tools.local_address.clone());
        }
        self.settings.address.clone().ok_or_else(|| {
            ProviderError::new(
                ErrorClass::Unsupported,
                "machines elsewhere are not told where this server is: write \
                 address = \"http://HEAD:5000\" under [hiring] into server.toml, and have it \
                 listen there",
            )
        })
    }
}

/// Lets a call end by itself when its job is cancelled, but not for long.
async fn until_cancelled<T>(
    call: impl Future<Output = Result<T, ProviderError>>,
    journal: &JobJournal,
) -> Result<T, ProviderError> {
    tokio::pin!(call);
    tokio::select! {
        outcome = &mut call => return outcome,
        () = journal.cancelled() => {}
    }
    journal.line("cancelled");
    match tokio::time::timeout(CANCEL_WITHIN, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ProviderError::cancelled()),
    }
}

fn still_there(status: Result<MachineStatus, ProviderError>) -> Result<(), ProviderError> {
    let transient = |reason: String| Err(ProviderError::new(ErrorClass::Transient, reason));
    match status {
        Ok(MachineStatus::Failed(reason)) => transient(format!("the machine failed: {reason}")),
        Ok(MachineStatus::Gone) => transient("the machine is gone".to_owned()),
        Ok(MachineStatus::Evicted) => transient("the machine was taken away".to_owned()),
        // Not being able to ask says nothing of the machine.
        Ok(MachineStatus::Building | MachineStatus::Running { .. }) | Err(_) => Ok(()),
    }
}

fn hired(order: &Order, machine: Option<MachineId>) -> Hired {
    Hired {
        worker: Arc::clone(&order.worker),
        tag: order.tag.clone(),
        region: order.region.clone(),
        machine,
    }
}

/// The engine did not take it: the job was cancelled, or nothing can be stored.
fn refused(refusal: &Refusal) -> ProviderError {
    ProviderError::new(ErrorClass::Transient, refusal.to_string())
}

pub(super) const fn failure_of(class: ErrorClass) -> JobFailure {
    match class {
        ErrorClass::Authentication => JobFailure::Authentication,
        ErrorClass::Quota => JobFailure::Quota,
        ErrorClass::Capacity => JobFailure::Capacity,
        ErrorClass::Unsupported => JobFailure::Unsupported,
        ErrorClass::Transient => JobFailure::Transient,
        ErrorClass::Cancelled => JobFailure::Cancelled,
    }
}
