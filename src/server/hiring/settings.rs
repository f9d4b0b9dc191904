//! What a site sets of its providers, in `server.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::domain::flavor::{ProviderName, RegionName};
use crate::domain::hire::{IDLE_AFTER, ProviderRules, Scope, UNUSED_AFTER};
pub use crate::domain::hire::{OnEviction, Quota};

/// `[providers.NAME]`: what is common to all kinds, and the kind's own keys.
#[derive(Debug, Clone, Deserialize)]
pub struct ProviderTable {
    pub kind: String,
    /// In which machines may be hired; empty: all that the provider has, or its one.
    #[serde(default)]
    pub regions: Vec<RegionName>,
    /// Sorted before the others.
    pub preferred_region: Option<String>,
    #[serde(default)]
    pub quotas: BTreeMap<RegionName, Quota>,
    /// Minutes after which a worker that has worked and has no more to do goes.
    pub idle_minutes: Option<f64>,
    /// Likewise for one that never worked.
    pub unused_minutes: Option<f64>,
    #[serde(default)]
    pub eviction: OnEviction,
    #[serde(flatten)]
    pub own: toml::Table,
}

impl ProviderTable {
    /// One of that kind with nothing set.
    #[must_use]
    pub fn of_kind(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            regions: Vec::new(),
            preferred_region: None,
            quotas: BTreeMap::new(),
            idle_minutes: None,
            unused_minutes: None,
            eviction: OnEviction::default(),
            own: toml::Table::new(),
        }
    }

    /// By which rules the engine hires there.
    #[must_use]
    pub fn rules(&self, hiring: &HiringTable) -> ProviderRules {
        let minutes = |own: Option<f64>, common: Option<f64>, usual: Duration| {
            own.or(common).map_or(usual, |minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0))
        };
        ProviderRules {
            scope: Scope::Shared,
            preferred_region: self.preferred_region.clone(),
            quotas: self.quotas.clone(),
            idle_after: minutes(self.idle_minutes, hiring.idle_minutes, IDLE_AFTER),
            unused_after: minutes(self.unused_minutes, hiring.unused_minutes, UNUSED_AFTER),
            on_eviction: self.eviction,
        }
    }
}

/// `[hiring]`: what is common to all providers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HiringTable {
    /// Where workers elsewhere reach this server: `http://head:5000`.
    pub address: Option<String>,
    /// How the names of hired workers begin; this machine's name where it is empty.
    pub name: String,
    /// Jobs that are carried out at once.
    pub at_once: usize,
    /// Minutes that a machine has to bring its agent to call.
    pub join_minutes: f64,
    /// Minutes after which a machine that nobody knows is destroyed; absent: never.
    pub orphan_minutes: Option<f64>,
    /// Minutes between two questions what providers offer.
    pub refresh_minutes: u64,
    /// Minutes between two comparisons of machines.
    pub sweep_minutes: f64,
    pub idle_minutes: Option<f64>,
    pub unused_minutes: Option<f64>,
    /// Whether administrators may hire agents on the head itself.
    pub local: bool,
}

impl Default for HiringTable {
    fn default() -> Self {
        Self {
            address: None,
            name: String::new(),
            at_once: 10,
            join_minutes: 15.0,
            orphan_minutes: Some(60.0),
            refresh_minutes: 60,
            sweep_minutes: 5.0,
            idle_minutes: None,
            unused_minutes: None,
            local: true,
        }
    }
}

impl HiringTable {
    #[must_use]
    pub fn join_within(&self) -> Duration {
        Duration::from_secs_f64(self.join_minutes.max(0.01) * 60.0)
    }

    #[must_use]
    pub fn sweep(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.sweep_minutes * 60.0).ok().filter(|time| !time.is_zero())
    }
}

/// Reads a variable of the server's environment.
type ReadVariable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What a kind of provider is made from.
#[derive(Clone)]
pub struct Surroundings {
    pub name: ProviderName,
    pub regions: Vec<RegionName>,
    /// A folder of its own on the head, made already: known hosts, logs.
    pub folder: PathBuf,
    /// For credentials.
    pub variable: Arc<ReadVariable>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("name", &self.name)
            .field("regions", &self.regions)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a provider's settings.
#[derive(Debug, Error)]
pub enum SettingsError {
    #[error("cannot read `{}`", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("`{}` is no such file: {source}", path.display())]
    Malformed { path: PathBuf, source: toml::de::Error },
    #[error("provider `{provider}` in `server.toml`: {reason}")]
    Provider { provider: ProviderName, reason: String },
}

impl SettingsError {
    #[must_use]
    pub fn of(provider: &ProviderName, reason: impl Into<String>) -> Self {
        Self::Provider { provider: provider.clone(), reason: reason.into() }
    }
}

/// Reads a kind's own keys; its type has `deny_unknown_fields`.
///
/// # Errors
/// A key that the kind does not have, or one of another type.
pub fn own_keys<T: DeserializeOwned>(
    name: &ProviderName,
    own: &toml::Table,
) -> Result<T, SettingsError> {
    own.clone().try_into().map_err(|error: toml::de::Error| {
        SettingsError::of(name, error.message().trim_end().to_owned())
    })
}

/// All that `server.toml` says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerToml {
    #[serde(default)]
    pub hiring: HiringTable,
    #[serde(default)]
    pub providers: BTreeMap<ProviderName, ProviderTable>,
}

/// Reads a `server.toml`.
///
/// # Errors
/// With the line and the key.
pub fn load(path: &Path) -> Result<ServerToml, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| SettingsError::Malformed { path: path.to_owned(), source })
}
