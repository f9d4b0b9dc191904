//! The kinds of providers that there are. One line for each.

use std::sync::Arc;

use super::provider::{Provider, azure, command, local, openstack, slurm, ssh};
use super::settings::{SettingsError, Surroundings};

/// Makes a provider from its own keys of `server.toml`.
type Make = fn(Surroundings, &toml::Table) -> Result<Arc<dyn Provider>, SettingsError>;

/// `kind = "…"`, and what makes such a one.
const KINDS: &[(&str, Make)] = &[
    ("local", local::make),
    ("ssh", ssh::make),
    ("openstack", openstack::make),
    ("azure", azure::make),
    ("slurm", slurm::make),
    ("command", command::make),
];

/// Makes a provider.
///
/// # Errors
/// A kind that there is not, and what the kind refuses.
pub fn make(
    kind: &str,
    surroundings: Surroundings,
    own: &toml::Table,
) -> Result<Arc<dyn Provider>, SettingsError> {
    if let Some((_, make)) = KINDS.iter().find(|(known, _)| *known == kind) {
        return make(surroundings, own);
    }
    let known: Vec<&str> = KINDS.iter().map(|(known, _)| *known).collect();
    let reason = format!("`{kind}` is no kind of provider: {}", known.join(", "));
    Err(SettingsError::of(&surroundings.name, reason))
}
