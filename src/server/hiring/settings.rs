//! What a site sets of its providers, in `server.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::domain::flavor::{ProviderName, RegionName};

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

/// What may be hired at once in one region; none: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub cpus: Option<u32>,
    /// GiB.
    pub memory: Option<f64>,
    pub instances: Option<u32>,
}

/// What follows when a provider takes a machine away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnEviction {
    /// Its record stays, for people to see.
    Keep,
    /// What is left of it is destroyed.
    #[default]
    Delete,
    /// Another one is hired as well.
    Replace,
}

/// What a kind of provider is made from.
#[derive(Clone)]
pub struct Surroundings {
    pub name: ProviderName,
    pub regions: Vec<RegionName>,
    /// A folder of its own on the head, made already: known hosts, logs.
    pub folder: PathBuf,
    /// Reads a variable of the server's environment, for credentials.
    pub variable: Arc<dyn Fn(&str) -> Option<String> + Send + Sync>,
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
