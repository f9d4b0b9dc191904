//! `scitq watch-container`: stays with the container of a task. Started by the
//! supervisor and by nobody else.

use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, ErrorKind};
use crate::agent::runner::docker::watch::watch;

/// Run the container of a task
#[derive(Debug, Args)]
pub struct WatchContainerArgs {
    /// What to run
    #[arg(long, value_name = "FILE")]
    order: PathBuf,
}

/// Gives the exit code of the container.
pub async fn cmd_watch_container(args: WatchContainerArgs) -> Result<u8, CliError> {
    watch(&args.order).await.map_err(|error| CliError::of(ErrorKind::Refused, &error))
}
