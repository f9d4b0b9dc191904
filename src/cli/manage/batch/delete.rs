//! `scitq manage batch delete`.

use clap::Args;

use super::list::count;
use super::select::{SomeBatches, explain, read_batch};
use super::tell;
use crate::api::batch::{BatchView, DeleteBatch, DeleteRunning};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::task::DependentsOptions;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::task::TaskState;

/// Delete batches with all their tasks and outputs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch delete qc
  scitq manage batch delete --yes --kill -n qc

The name has to be typed once more, unless --yes is given. Commands that run go
on unseen, unless --kill is given; on a terminal that is asked. Workers of the
batch stay in it.")]
pub struct DeleteArgs {
    #[command(flatten)]
    batches: SomeBatches,
    /// Kill the commands that run
    #[arg(long)]
    kill: bool,
    #[command(flatten)]
    dependents: DependentsOptions,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_delete(session: &Session, args: DeleteArgs) -> Result<(), CliError> {
    let asked_for = if args.kill { DeleteRunning::Kill } else { DeleteRunning::Keep };
    for name in args.batches.names() {
        let running = if args.consent.is_given() {
            asked_for
        } else {
            agree(session, &name, &args, asked_for).await?
        };
        let delete = DeleteBatch { dependents: args.dependents.chosen(), running };
        match session.client.delete_batch(&name, delete).await {
            Ok(changed) => tell(session, &name, "deleted, tasks gone:", changed.tasks)?,
            Err(error) => return Err(explain(session, error, &name).await),
        }
    }
    Ok(())
}

/// Asks for the name, and what becomes of commands that run.
async fn agree(
    session: &Session,
    name: &BatchName,
    args: &DeleteArgs,
    asked_for: DeleteRunning,
) -> Result<DeleteRunning, CliError> {
    let batch = read_batch(session, name).await?.batch;
    let running = count(&batch, TaskState::Running) + count(&batch, TaskState::Paused);
    let what = question(&batch, args.dependents.addition());
    ask::confirm_by_typing(args.consent, &what, name.as_str())?;
    if running == 0 || asked_for == DeleteRunning::Kill {
        return Ok(asked_for);
    }
    let commands = format::counted(running, "task is", "tasks are");
    let ways = ["let their commands go on, unseen", "kill them", "delete nothing"];
    match ask::choose(&format!("{commands} running or paused"), &ways)? {
        0 => Ok(DeleteRunning::Keep),
        1 => Ok(DeleteRunning::Kill),
        _ => Err(CliError::refused("nothing was done")),
    }
}

fn question(batch: &BatchView, with: &str) -> String {
    let tasks = format::counted(batch.tasks.values().sum(), "task", "tasks");
    format!("delete batch {} with its {tasks} and their output{with}", batch.name)
}
