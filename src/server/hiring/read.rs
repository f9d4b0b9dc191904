//! What the rest of the server asks of the service.

use std::sync::PoisonError;

use super::provider::{AgentOrder, HeadTag, Order, ProviderError, Secret};
use super::service::HiringService;
use crate::api::hiring::{ImportedFlavor, JobLog, OrphanMachine, ProviderView};
use crate::domain::flavor::{FlavorName, ProviderName, RegionName};
use crate::domain::hire::Scope;
use crate::domain::worker::WorkerSettings;
use crate::domain::{BatchName, JobId};

impl HiringService {
    /// The providers that are set up, as far as the service knows them.
    #[must_use]
    pub fn list(&self) -> Vec<ProviderView> {
        let orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |name: &ProviderName| -> Vec<OrphanMachine> {
            let own = orphans.iter().filter(|((provider, _), _)| provider == name);
            own.map(|(_, (machine, since))| OrphanMachine {
                worker: machine.worker.to_string(),
                region: machine.region.clone(),
                machine: machine.machine.as_ref().map(ToString::to_string),
                seen_since: *since,
            })
            .collect()
        };
        let view = |(name, configured): (&ProviderName, &super::service::Configured)| {
            let freshness = self.catalog.freshness(name);
            let wrong = configured.provider.as_ref().err().map(ToString::to_string);
            ProviderView {
                name: name.clone(),
                kind: configured.kind.clone(),
                regions: configured.table.regions.clone(),
                preferred_region: configured.rules.preferred_region.clone(),
                quotas: configured.rules.quotas.clone(),
                on_eviction: configured.rules.on_eviction,
                idle_seconds: configured.rules.idle_after.as_secs(),
                unused_seconds: configured.rules.unused_after.as_secs(),
                flavors: 0,
                workers: 0,
                refreshed_at: freshness.at,
                error: wrong.or(freshness.error),
                orphans: of(name),
            }
        };
        self.providers.iter().map(view).collect()
    }

    /// The script that prepares machines of a provider, with a token that is none.
    ///
    /// # Errors
    /// The provider is not set up, or a template of the site's is wrong.
    pub fn script(
        &self,
        name: &ProviderName,
        flavor: &str,
        region: &str,
    ) -> Result<Option<String>, ProviderError> {
        let unsupported =
            |reason| ProviderError::new(super::provider::ErrorClass::Unsupported, reason);
        let provider = self.provider(name).map_err(unsupported)?;
        provider.script(&Order {
            worker: format!("{}-node1", self.settings.name).into(),
            tag: HeadTag(self.tools.tag.0.clone()),
            flavor: FlavorName::new(flavor),
            region: RegionName::new(region),
            agent: AgentOrder {
                server: self.address_for(name)?,
                token: Secret::new("TOKEN".to_owned()),
                fingerprint: None,
                settings: WorkerSettings {
                    batch: BatchName::default(),
                    concurrency: 1,
                    prefetch: 0,
                },
                provider: name.as_str().into(),
            },
        })
    }

    /// Takes in what providers do not tell by themselves.
    ///
    /// # Errors
    /// It cannot be kept.
    pub async fn import(&self, lines: Vec<ImportedFlavor>) -> std::io::Result<()> {
        self.catalog.import(lines)?;
        self.tell_flavors().await;
        Ok(())
    }

    /// A piece of a job's log.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_log(&self, id: JobId, offset: u64) -> std::io::Result<JobLog> {
        let (text, next) = self.logs.read(id, offset)?;
        Ok(JobLog { text, next, complete: false })
    }

    /// Whose providers a caller may use.
    #[must_use]
    pub const fn scope_of(role: crate::api::token::Role) -> Scope {
        match role {
            crate::api::token::Role::Admin => Scope::Everything,
            _ => Scope::Shared,
        }
    }
}
