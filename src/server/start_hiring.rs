//! Opens what hires machines, as a site has set it up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::api::fingerprint::Fingerprint;
use crate::domain::time::Clock;

use super::auth::TokenTable;
use super::engine::service::Engine;
use super::hiring::provider::HeadTag;
use super::hiring::settings::{self, ServerToml, SettingsError};
use super::hiring::{HiringService, Tools, TrustOfOrphans};
use super::run::ServeError;
use super::store::{Origin, Store};

/// Where it works.
pub(super) struct Place {
    /// Under which programs of this machine reach the server.
    pub address: SocketAddr,
    /// By which they know it, where nobody else vouches for its certificate.
    pub fingerprint: Option<Fingerprint>,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<Notify>,
    pub folder: PathBuf,
}

/// What `server.toml` says: the file that is named, or the first that is there.
pub(super) fn load_settings(
    named: Option<&Path>,
    data: &Path,
) -> Result<ServerToml, SettingsError> {
    let usual = [data.join("server.toml"), PathBuf::from("/etc/scitq/server.toml")];
    let path = named.or_else(|| usual.iter().map(PathBuf::as_path).find(|path| path.exists()));
    let mut toml = match path {
        None => ServerToml::default(),
        Some(path) => settings::load(path)?,
    };
    if toml.hiring.name.is_empty() {
        toml.hiring.name = short_name();
    }
    Ok(toml)
}

/// Sets all providers up.
pub(super) async fn open(
    engine: &Engine,
    store: &Store,
    tokens: &Arc<TokenTable>,
    place: Place,
    toml: ServerToml,
) -> Result<HiringService, ServeError> {
    let tag = engine.query(|state| state.store.0.clone()).await;
    let tag = tag.map_err(|refusal| ServeError::Fatal(refusal.to_string()))?;
    let scheme = if place.fingerprint.is_some() { "https" } else { "http" };
    let tools = Tools {
        engine: engine.clone(),
        tokens: Arc::clone(tokens),
        clock: place.clock,
        wake: place.wake,
        local_address: format!("{scheme}://{}", place.address),
        fingerprint: place.fingerprint,
        tag: HeadTag(tag.into()),
        trust_of_orphans: match store.origin() {
            Origin::Copy => TrustOfOrphans::PerhapsOfAnother,
            Origin::Here => TrustOfOrphans::Own,
        },
    };
    HiringService::new(tools, toml, &place.folder)
        .map_err(|source| ServeError::Hiring { path: place.folder, source })
}

/// The address under which this machine reaches a listener.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The first part of this machine's name.
fn short_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    let first = name.split('.').next().unwrap_or_default();
    first.chars().filter(is_plain).take(40).collect()
}
