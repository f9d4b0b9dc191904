//! The service that carries out what the engine has decided to hire and to destroy.
//!
//! It keeps nothing that has to outlive it: jobs are in the database, machines at
//! their providers, flavors and logs in files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::catalog::Catalog;
use super::logs::JobLogs;
use super::provider::{HeadTag, Provider};
use super::settings::{HiringTable, ProviderTable, ServerToml, SettingsError};
use super::{kinds, local_rules};
use crate::api::fingerprint::Fingerprint;
use crate::domain::flavor::ProviderName;
use crate::domain::hire::ProviderRules;
use crate::domain::job::JobState;
use crate::domain::time::Clock;
use crate::domain::{JobId, Timestamp};
use crate::server::auth::TokenTable;
use crate::server::engine::Command;
use crate::server::engine::hiring::HiringCommand;
use crate::server::engine::service::Engine;

/// Time between two looks at what is due.
const LOOK: Duration = Duration::from_secs(1);
/// Time between two comparisons of what providers have with what is known.
pub(super) const SWEEP: Duration = Duration::from_mins(5);

/// What the service works with.
#[derive(Debug)]
pub struct Tools {
    pub engine: Engine,
    pub tokens: Arc<TokenTable>,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<Notify>,
    /// Where workers on this machine reach the head.
    pub local_address: String,
    /// By which they know it, where nobody else vouches for its certificate.
    pub fingerprint: Option<Fingerprint>,
    pub tag: HeadTag,
    pub trust_of_orphans: TrustOfOrphans,
}

/// Whether machines that nobody knows are this head's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustOfOrphans {
    /// They are destroyed after a while.
    Own,
    /// The database is a copy: they may be those of the original.
    PerhapsOfAnother,
}

/// A provider that is set up.
#[derive(Debug, Clone)]
pub struct Configured {
    pub kind: String,
    pub rules: ProviderRules,
    pub table: ProviderTable,
    /// None: its settings are wrong, and why.
    pub provider: Result<Arc<dyn Provider>, Arc<str>>,
}

/// See the module.
#[derive(Debug)]
pub struct HiringService {
    pub(super) tools: Tools,
    pub(super) settings: HiringTable,
    pub(super) providers: BTreeMap<ProviderName, Configured>,
    pub(super) catalog: Catalog,
    pub(super) logs: JobLogs,
    running: Mutex<FxHashMap<JobId, CancellationToken>>,
    pub(super) orphans:
        Mutex<BTreeMap<(ProviderName, String), (super::provider::Hired, Timestamp)>>,
}

impl HiringService {
    /// Sets up all providers. One that is wrong does not keep the others from working.
    ///
    /// # Errors
    /// The folder for logs and catalogues cannot be used.
    pub fn new(tools: Tools, toml: ServerToml, folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut tables = toml.providers;
        let local = ProviderName::new("local");
        let is_implied = toml.hiring.local && !tables.contains_key(&local);
        if is_implied {
            tables.insert(local.clone(), ProviderTable::of_kind("local"));
        }
        let providers = tables
            .into_iter()
            .map(|(name, table)| {
                let rules = if is_implied && name == local {
                    local_rules(&table, &toml.hiring)
                } else {
                    table.rules(&toml.hiring)
                };
                let provider = make(&name, &table, folder).map_err(|error| {
                    tracing::error!(%error, provider = %name, "a provider cannot be used");
                    error.to_string().into()
                });
                (name, Configured { kind: table.kind.clone(), rules, table, provider })
            })
            .collect();
        Ok(Self {
            catalog: Catalog::open(folder),
            logs: JobLogs::open(folder)?,
            tools,
            settings: toml.hiring,
            providers,
            running: Mutex::default(),
            orphans: Mutex::default(),
        })
    }

    /// Tells the engine what there is, and works until the server stops.
    pub async fn run(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        self.tell_rules().await;
        self.tell_flavors().await;
        let refreshing = Arc::clone(&self);
        tokio::spawn(async move { refreshing.refresh_for_ever().await });
        let sweeping = Arc::clone(&self);
        tokio::spawn(async move { sweeping.sweep_for_ever().await });
        loop {
            self.look().await;
            tokio::select! {
                () = self.tools.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }

    async fn tell_rules(&self) {
        let providers = self
            .providers
            .iter()
            .filter(|(_, configured)| configured.provider.is_ok())
            .map(|(name, configured)| (name.clone(), configured.rules.clone()))
            .collect();
        let head = self.settings.name.as_str().into();
        self.tell(HiringCommand::SetProviders { head, providers }).await;
    }

    pub(super) async fn tell_flavors(&self) {
        self.tell(HiringCommand::SetFlavors(self.catalog.flavors())).await;
    }

    /// A command that nobody waits for; during an outage it is lost, and said again.
    pub(super) async fn tell(&self, command: HiringCommand) {
        if let Err(error) = self.apply(command).await {
            tracing::debug!(%error, "the engine did not take it");
        }
    }

    pub(super) async fn apply(
        &self,
        command: HiringCommand,
    ) -> Result<crate::server::engine::Reply, crate::server::engine::Refusal> {
        self.tools.engine.apply(&"server".into(), Command::Hiring(command), None).await
    }

    /// Starts what is due, and cancels what is wanted no longer.
    async fn look(self: &Arc<Self>) {
        let now = self.tools.clock.now().monotonic;
        let asked = self.tools.engine.query(move |state| {
            let running = state.hiring.jobs.iter();
            let cancelled: Vec<JobId> = running
                .filter(|(_, job)| job.row.cancelled && job.row.state == JobState::Running)
                .map(|(id, _)| *id)
                .collect();
            (state.due_jobs(now), cancelled)
        });
        let Ok((due, cancelled)) = asked.await else { return };
        for id in cancelled {
            if let Some(token) = self.running().get(&id) {
                token.cancel();
            }
        }
        for id in due {
            let token = CancellationToken::new();
            {
                let mut running = self.running();
                if running.len() >= self.settings.at_once || running.contains_key(&id) {
                    continue;
                }
                running.insert(id, token.clone());
            }
            let service = Arc::clone(self);
            tokio::spawn(async move {
                service.carry_out(id, token).await;
                service.running().remove(&id);
                service.tools.wake.notify_one();
            });
        }
    }

    fn running(&self) -> MutexGuard<'_, FxHashMap<JobId, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The provider of that name.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn provider(&self, name: &ProviderName) -> Result<Arc<dyn Provider>, String> {
        match self.providers.get(name) {
            None => Err(format!("provider `{name}` is not set up in server.toml any more")),
            Some(configured) => configured.provider.clone().map_err(|reason| reason.to_string()),
        }
    }
}

fn make(
    name: &ProviderName,
    table: &ProviderTable,
    folder: &std::path::Path,
) -> Result<Arc<dyn Provider>, SettingsError> {
    let folder = folder.join(name.as_str());
    std::fs::create_dir_all(&folder)
        .map_err(|source| SettingsError::Unreadable { path: folder.clone(), source })?;
    let surroundings = super::settings::Surroundings {
        name: name.clone(),
        regions: table.regions.clone(),
        folder,
        variable: Arc::new(|name| std::env::var_os(name)?.into_string().ok()),
    };
    kinds::make(&table.kind, surroundings, &table.own)
}
