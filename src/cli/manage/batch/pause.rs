//! `scitq manage batch pause`.

use clap::Args;

use super::select::{SomeBatches, explain};
use super::tell;
use crate::api::batch::WithTasks;
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Pause batches: no command is started, those that run go on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch pause qc
  scitq manage batch pause --tasks qc assembly

Downloads go on meanwhile. It is the batch that is paused: this holds for
workers that join later as well. With --tasks the commands that run are
suspended too; they keep their memory. `manage batch go` lets the batch go on.")]
pub struct PauseArgs {
    #[command(flatten)]
    batches: SomeBatches,
    /// Suspend the commands that run as well
    #[arg(short, long)]
    tasks: bool,
}

pub async fn cmd_pause(session: &Session, args: PauseArgs) -> Result<(), CliError> {
    let with = WithTasks { tasks: args.tasks };
    for name in args.batches.names() {
        pause(session, &name, with).await?;
    }
    Ok(())
}

/// Pauses one batch.
pub async fn pause(
    session: &Session,
    name: &crate::domain::BatchName,
    with: WithTasks,
) -> Result<(), CliError> {
    match session.client.pause_batch(name, with).await {
        Ok(changed) if with.tasks => tell(session, name, "paused, tasks suspended:", changed.tasks),
        Ok(_) => {
            session.output.status(format_args!("batch {name} paused"));
            Ok(())
        }
        Err(error) => Err(explain(session, error, name).await),
    }
}
