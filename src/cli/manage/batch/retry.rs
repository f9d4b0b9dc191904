//! `scitq manage batch retry`.

use clap::Args;

use super::list::count;
use super::select::{SomeBatches, explain, read_batch};
use super::tell;
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::session::Session;
use crate::domain::task::TaskState;

/// Run all failed tasks of batches again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch retry qc
  scitq manage batch retry --yes qc assembly

The same as `manage task relaunch --batch NAME --state failed`, at once.")]
pub struct RetryArgs {
    #[command(flatten)]
    batches: SomeBatches,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_retry(session: &Session, args: RetryArgs) -> Result<(), CliError> {
    for name in args.batches.names() {
        if !args.consent.is_given() {
            let failed = count(&read_batch(session, &name).await?.batch, TaskState::Failed);
            if failed == 0 {
                session.output.status(format_args!("batch {name} has no failed task"));
                continue;
            }
            let tasks = format::counted(failed, "failed task", "failed tasks");
            ask::confirm(args.consent, &format!("relaunch {tasks} of batch {name}"))?;
        }
        match session.client.retry_batch(&name).await {
            Ok(changed) => tell(session, &name, "tasks relaunched:", changed.tasks)?,
            Err(error) => return Err(explain(session, error, &name).await),
        }
    }
    Ok(())
}
