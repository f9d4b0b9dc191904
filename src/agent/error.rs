//! Why an agent cannot run.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::cache::CacheError;
use super::link::LinkError;
use super::supervisor::SupervisorClientError;
use super::telemetry::TelemetryError;
use super::workdir::WorkdirError;

#[derive(Debug, Error)]
pub enum AgentError {
    #[error("another agent works in `{}`", workdir.display())]
    Busy { workdir: PathBuf },
    #[error("cannot {what} `{}`", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` does not say from which database the executions come", path.display())]
    Store { path: PathBuf, source: serde_json::Error },
    #[error("the system gives no {what}")]
    System { what: &'static str, source: io::Error },
    #[error("no way to the server by ssh: {0}")]
    NoWay(String),
    #[error("a part of the agent has failed: {what}")]
    Internal { what: &'static str },
    #[error(transparent)]
    Workdir(#[from] WorkdirError),
    #[error(transparent)]
    Machine(#[from] TelemetryError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Supervisor(#[from] SupervisorClientError),
    #[error(transparent)]
    Link(#[from] LinkError),
}
