//! What a server is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use tokio::sync::oneshot;

use super::disk::LeastFree;
use super::engine::state::Policy;
use super::retention::Retention;
use super::tls::TlsSettings;
use crate::api::fingerprint::Fingerprint;
use crate::api::token::Role;

/// Everything that a server needs to know.
#[derive(Debug)]
pub struct ServeConfig {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The data directory; made if it is not there.
    pub data: PathBuf,
    /// None: no agent. Otherwise one on this machine, which runs so many
    /// commands at once; as many as there are cores where no number is given.
    pub with_agent: Option<Option<u32>>,
    /// Further arguments of that agent.
    pub agent_arguments: Vec<String>,
    /// Networks from which no token is wanted.
    pub trust: Vec<IpNet>,
    /// None: plain HTTP only.
    pub tls: Option<TlsSettings>,
    pub plain_tokens: PlainTokens,
    /// What those from these networks may be.
    pub trust_roles: Vec<Role>,
    /// Wrong tokens that one address may show in a minute.
    pub wrong_tokens: u32,
    /// How the REST API of the original is served; none: not at all.
    pub v1: Option<V1Settings>,
    /// The file that sets up providers of machines; none: `server.toml` in the data
    /// directory or in `/etc/scitq`, where there is one.
    pub settings: Option<PathBuf>,
    pub retention: Retention,
    pub least_free: LeastFree,
    /// Limits and waiting times.
    pub policy: Policy,
    /// An archive from which the data directory, which must be empty, is filled first.
    pub restore: Option<PathBuf>,
    /// Hears when the server takes requests.
    pub ready: Option<oneshot::Sender<Ready>>,
}

/// From where a token is taken that was sent without encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainTokens {
    /// From this machine, where nobody else sees it.
    OfThisMachine,
    FromAnywhere,
}

/// What a site sets for clients of the original.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct V1Settings {
    /// The `rclone.conf` that everyone may read who is let in; none: nobody may.
    pub rclone: Option<PathBuf>,
    /// The URI of the folder in which workflows leave their scripts.
    pub remote: String,
}

/// A server that takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// The URL for clients on this machine.
    pub url: String,
    /// That of a certificate which the server made for itself.
    pub fingerprint: Option<Fingerprint>,
    /// The file with the first administrator's token.
    pub token_file: PathBuf,
}
