//! `scitq manage batch go`.

use clap::Args;

use super::select::{SomeBatches, explain};
use super::tell;
use crate::api::batch::WithTasks;
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Let paused batches go on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch go qc
  scitq manage batch go --tasks qc

With --tasks those commands go on as well that were suspended with the batch;
tasks that a person paused one by one stay as they are. As in the original,
`-n qc --cont` and `-n qc -N 18` do the same as --tasks.")]
pub struct GoArgs {
    #[command(flatten)]
    batches: SomeBatches,
    /// Let the commands go on that were suspended with the batch
    #[arg(short, long, visible_alias = "cont")]
    tasks: bool,
    /// The signal of the original: 0 for none, 18 as --tasks
    #[arg(short = 'N', long, value_name = "NUMBER", value_parser = ["0", "18"], hide_possible_values = true, conflicts_with = "tasks")]
    signal: Option<String>,
}

pub async fn cmd_go(session: &Session, args: GoArgs) -> Result<(), CliError> {
    let with = WithTasks { tasks: args.tasks || args.signal.as_deref() == Some("18") };
    for name in args.batches.names() {
        match session.client.go_batch(&name, with).await {
            Ok(changed) if with.tasks => {
                tell(session, &name, "goes on, tasks resumed:", changed.tasks)?;
            }
            Ok(_) => session.output.status(format_args!("batch {name} goes on")),
            Err(error) => return Err(explain(session, error, &name).await),
        }
    }
    Ok(())
}
