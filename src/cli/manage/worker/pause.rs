//! `scitq manage worker pause`.

use clap::Args;

use super::select::SomeWorkers;
use super::want::want;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::worker::WantedState;

/// Let workers take nothing new; what they have goes on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker pause 3
  scitq manage worker pause node7 node8

`manage worker resume` lets them take tasks again.")]
pub struct PauseArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    /// Print the workers as JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_pause(session: &Session, args: PauseArgs) -> Result<(), CliError> {
    let changed = want(session, &args.workers, WantedState::Paused).await?;
    super::update::tell(session, &changed, args.json.into())
}
