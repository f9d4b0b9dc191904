//! `scitq manage task delete`.

use clap::Args;

use crate::api::task::{DeleteTasks, Dependents};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::manage::options::ChangeOptions;
use crate::cli::manage::select::SomeTasks;
use crate::cli::session::Session;

/// Delete tasks with their output
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task delete 12
  scitq manage task delete --yes --cascade 12 13

A task that runs is hidden at once and goes when it has ended; to end it,
cancel it first. All are deleted, or none.")]
pub struct DeleteArgs {
    #[command(flatten)]
    tasks: SomeTasks,
    /// Delete the tasks that require them as well
    #[arg(long, conflicts_with = "detach")]
    cascade: bool,
    /// Take the requirement away from the tasks that have it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_delete(session: &Session, args: DeleteArgs) -> Result<(), CliError> {
    let ids = args.tasks.find(session).await?;
    let dependents = match (args.cascade, args.detach) {
        (true, _) => Dependents::Cascade,
        (_, true) => Dependents::Detach,
        _ => Dependents::Refuse,
    };
    let what = match (ids.as_slice(), dependents) {
        ([id], Dependents::Cascade) => format!("delete task {id} and all that require it"),
        ([id], _) => format!("delete task {id}"),
        (ids, Dependents::Cascade) => {
            format!("delete {} tasks and all that require them", ids.len())
        }
        (ids, _) => format!("delete {} tasks", ids.len()),
    };
    ask::confirm(args.consent, &what)?;
    let changed = session.client.delete_tasks(&DeleteTasks { ids, dependents }).await;
    let changed = changed.map_err(|e| session.explain(e))?;
    args.options.tell(session, "deleted", &changed)
}
