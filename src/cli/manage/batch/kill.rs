//! `scitq manage batch kill`.

use clap::Args;

use super::end::{End, end};
use super::select::SomeBatches;
use crate::cli::ask::Consent;
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Pause batches and kill all their commands with SIGKILL
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch kill qc
  scitq manage batch kill --yes qc assembly

The tasks fail as cancelled and are not tried again. The batch is paused as
well, as in the original: `manage batch go` lets it go on.")]
pub struct KillArgs {
    #[command(flatten)]
    batches: SomeBatches,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_kill(session: &Session, args: KillArgs) -> Result<(), CliError> {
    end(session, &args.batches.names(), args.consent, End::Kill).await
}
