//! `scitq manage worker resume`.

use clap::Args;

use super::select::SomeWorkers;
use super::want::want;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::worker::WantedState;

/// Let paused or draining workers take tasks again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker resume 3
  scitq manage worker resume node7 node8

A worker that was taken out of service since its tasks failed in a row is put
back as well.")]
pub struct ResumeArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    /// Print the workers as JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_resume(session: &Session, args: ResumeArgs) -> Result<(), CliError> {
    let changed = want(session, &args.workers, WantedState::Running).await?;
    super::update::tell(session, &changed, args.json.into())
}
