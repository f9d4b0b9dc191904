//! What an agent is told when it is started.

use std::path::PathBuf;
use std::time::Duration;

use crate::api::client::ServerAddress;
use crate::domain::worker::WorkerSettings;

use super::fsm::Secret;
use super::notice::Notice;
use super::telemetry::MachineKind;

/// Everything that an agent needs to know.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    pub server: ServerAddress,
    /// The token with which the agent joins, or one that is bound to it. Not
    /// needed once the workdir holds the token that the server gave the agent,
    /// nor where the server trusts the address.
    pub token: Option<Secret>,
    /// Name of the worker; with the machine's id it makes the agent known.
    pub name: String,
    /// The agent's own settings: those of the server win once it knows the worker.
    pub settings: WorkerSettings,
    /// Where the agent keeps all of its files. One agent per directory.
    pub workdir: PathBuf,
    /// What kind of machine this is, for people.
    pub kind: MachineKind,
    /// For how long the files of a failed task are kept.
    pub keep_failed: Duration,
    /// A disk fuller than this is cleaned, percent.
    pub max_used_percent: f64,
    /// For how long a failed upload is tried again.
    pub upload_patience: Duration,
    /// By what the agent learns that its machine is taken away, besides SIGUSR2.
    pub notice: Option<Notice>,
    /// Bytes that all transfers together may move in a second; none: no limit.
    pub bandwidth: Option<u64>,
    /// The control group below which commands get groups of their own; none: the
    /// one that was delegated to the agent, if one was.
    pub cgroup: Option<PathBuf>,
    /// The program to run as the supervisor: this one.
    pub program: PathBuf,
}

/// [`AgentConfig::keep_failed`] where nobody says otherwise.
pub const KEEP_FAILED: Duration = Duration::from_hours(7 * 24);

/// [`AgentConfig::max_used_percent`] where nobody says otherwise.
pub const MAX_USED_PERCENT: u8 = 90;

/// [`AgentConfig::upload_patience`] where nobody says otherwise.
pub const UPLOAD_PATIENCE: Duration = Duration::from_hours(24);

/// How an agent has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It was asked to leave, or had nothing left to do.
    Left,
    /// Another one shall take its place at once.
    Restart,
}

/// How an agent is asked to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// At once: commands run on, and the next agent takes them over.
    Detach,
    /// After the last execution, taking nothing new.
    Drain,
    /// Its machine goes: what it holds goes to others. In words, how it knows.
    Evict(String),
}
