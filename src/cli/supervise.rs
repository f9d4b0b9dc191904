//! `scitq supervise`: the parent of a worker's commands. Started by the agent
//! and by nobody else.

use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, ErrorKind};
use crate::agent::supervisor;

/// Be the parent of the commands of an agent
#[derive(Debug, Args)]
pub struct SuperviseArgs {
    /// The agent's directory
    #[arg(long, value_name = "DIR")]
    workdir: PathBuf,
}

/// Serves the agent until it is not needed any more.
pub fn cmd_supervise(args: &SuperviseArgs) -> Result<u8, CliError> {
    super::logging::start();
    supervisor::run(&args.workdir)
        .map(|()| 0)
        .map_err(|error| CliError::of(ErrorKind::Refused, &error))
}
