//! What a server is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use tokio::sync::oneshot;

use super::engine::state::Policy;
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
    /// Networks from which no token is wanted.
    pub trust: Vec<IpNet>,
    /// What those from these networks may be.
    pub trust_roles: Vec<Role>,
    /// How the REST API of the original is served; none: not at all.
    pub v1: Option<V1Settings>,
    /// The file that sets up providers of machines; none: `server.toml` in the data
    /// directory or in `/etc/scitq`, where there is one.
    pub settings: Option<PathBuf>,
    /// Limits and waiting times.
    pub policy: Policy,
    /// Hears when the server takes requests.
    pub ready: Option<oneshot::Sender<Ready>>,
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
    /// The file with the first administrator's token.
    pub token_file: PathBuf,
}
