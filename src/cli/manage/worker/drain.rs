//! `scitq manage worker drain`.

use clap::Args;

use super::select::SomeWorkers;
use super::want::want;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::worker::WantedState;

/// Let workers finish what they have and leave
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker drain 3
  scitq manage worker drain node7 node8

A draining worker takes nothing new, and its agent ends after its last
execution.")]
pub struct DrainArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    /// Print the workers as JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_drain(session: &Session, args: DrainArgs) -> Result<(), CliError> {
    let changed = want(session, &args.workers, WantedState::Draining).await?;
    super::update::tell(session, &changed, args.json.into())
}
