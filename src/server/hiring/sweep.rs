//! What goes on beside the jobs: asking providers what they offer, and comparing the
//! machines that they have with those that are known.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::provider::{Hired, MachineId, Provider};
use super::service::{HiringService, SWEEP, TrustOfOrphans};
use crate::domain::flavor::ProviderName;
use crate::domain::{JobId, Timestamp, WorkerId};
use crate::server::engine::hiring::HiringCommand;

/// Longest wait for what a provider offers.
const PATIENCE: Duration = Duration::from_mins(3);

/// A hired worker, as far as a comparison needs it.
struct Known {
    worker: WorkerId,
    name: Arc<str>,
    machine: Option<String>,
    is_quiet: bool,
}

impl HiringService {
    pub(super) async fn refresh_for_ever(&self) {
        loop {
            self.refresh(None).await;
            tokio::time::sleep(Duration::from_secs(60 * self.settings.refresh_minutes)).await;
        }
    }

    /// Asks the providers what they offer; only that one, where one is named.
    pub async fn refresh(&self, only: Option<&ProviderName>) {
        for name in self.providers.keys() {
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let told = match self.provider(name) {
                Err(reason) => Err(reason),
                Ok(provider) => match tokio::time::timeout(PATIENCE, provider.flavors()).await {
                    Ok(Ok(flavors)) => Ok(flavors),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
                },
            };
            if let Err(error) = &told {
                tracing::warn!(%error, provider = %name, "a provider does not tell what it offers");
            }
            self.catalog.note(name, self.tools.clock.now().wall, told);
            self.tell_flavors().await;
        }
    }

    pub(super) async fn sweep_for_ever(&self) {
        loop {
            tokio::time::sleep(self.settings.sweep().unwrap_or(SWEEP)).await;
            self.sweep().await;
        }
    }

    /// Compares what providers have with what is known, in both directions.
    pub async fn sweep(&self) {
        let jobs = self.tools.engine.query(|state| state.hiring.jobs.keys().copied().collect());
        if let Ok(jobs) = jobs.await {
            let jobs: FxHashSet<JobId> = jobs;
            self.logs.keep_only(&jobs);
        }
        for name in self.providers.keys() {
            let Ok(provider) = self.provider(name) else { continue };
            match provider.list(&self.tools.tag).await {
                Ok(found) => self.compare(name, &*provider, found).await,
                // It cannot be asked, which its settings say.
                Err(error) if error.class == super::provider::ErrorClass::Unsupported => {}
                Err(error) => {
                    tracing::warn!(%error, provider = %name, "a provider does not list its machines");
                }
            }
        }
    }

    async fn compare(&self, name: &ProviderName, provider: &dyn Provider, found: Vec<Hired>) {
        let Some(known) = self.known(name).await else { return };
        for gone in known.iter().filter(|known| known.is_quiet && !is_there(known, &found)) {
            self.tell(HiringCommand::Gone(gone.worker)).await;
        }
        let now = self.tools.clock.now().wall;
        let mut late: Vec<Hired> = Vec::new();
        {
            let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            let strange: Vec<&Hired> =
                found.iter().filter(|machine| !is_known(machine, &known)).collect();
            orphans.retain(|(provider, key), _| {
                provider != name || strange.iter().any(|machine| key_of(machine) == *key)
            });
            for machine in strange {
                let key = (name.clone(), key_of(machine));
                let (_, since) = orphans.entry(key).or_insert_with(|| {
                    tracing::warn!(provider = %name, worker = %machine.worker, "a machine that nobody knows");
                    (machine.clone(), now)
                });
                if self.is_late(*since, now) {
                    late.push(machine.clone());
                }
            }
        }
        for machine in late {
            tracing::warn!(provider = %name, worker = %machine.worker, "destroying a machine that nobody knows");
            if let Err(error) = provider.destroy(&machine, &super::provider::Silence).await {
                tracing::error!(%error, provider = %name, "it cannot be destroyed; trying again");
            }
        }
    }

    fn is_late(&self, since: Timestamp, now: Timestamp) -> bool {
        let limit = self.settings.orphan_minutes;
        self.tools.trust_of_orphans == TrustOfOrphans::Own
            && limit.is_some_and(|minutes| now.seconds_since(since) >= minutes * 60.0)
    }

    async fn known(&self, name: &ProviderName) -> Option<Vec<Known>> {
        let name = name.clone();
        let asked = self.tools.engine.query(move |state| {
            let hired = state.workers.iter().filter_map(|(id, worker)| {
                let hire = worker.hire.as_deref().filter(|hire| hire.provider == name)?;
                let is_quiet = worker.link.is_none() && state.hiring.job_of(*id).is_none();
                Some(Known {
                    worker: *id,
                    name: Arc::clone(&worker.name),
                    machine: hire.machine.clone(),
                    is_quiet,
                })
            });
            hired.collect()
        });
        asked.await.ok()
    }
}

fn is_there(known: &Known, found: &[Hired]) -> bool {
    found.iter().any(|machine| machine.worker == known.name)
}

fn is_known(machine: &Hired, known: &[Known]) -> bool {
    known.iter().any(|known| {
        let same_machine = match (&machine.machine, &known.machine) {
            (Some(MachineId(found)), Some(known)) => found == known,
            // Its provider or its head has not told the id yet.
            _ => true,
        };
        machine.worker == known.name && same_machine
    })
}

fn key_of(machine: &Hired) -> String {
    match &machine.machine {
        Some(id) => id.to_string(),
        None => format!("{} {}", machine.worker, machine.region),
    }
}
