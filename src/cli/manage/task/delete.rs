//! `scitq manage task delete`.

use clap::Args;

use crate::api::task::{DeleteTasks, Dependents, Unfit};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::manage::options::ChangeOptions;
use crate::cli::manage::select::TaskSelection;
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
    tasks: TaskSelection,
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
    let selected = args.tasks.find(session).await?;
    let dependents = match (args.cascade, args.detach) {
        (true, _) => Dependents::Cascade,
        (_, true) => Dependents::Detach,
        _ => Dependents::Refuse,
    };
    let others = if dependents == Dependents::Cascade { " with all that require it" } else { "" };
    ask::confirm(args.consent, &format!("delete {}{others}", selected.describe()))?;
    let ids = selected.into_ids();
    let changed =
        session.client.delete_tasks(&DeleteTasks { ids, dependents, unfit: Unfit::Refuse }).await;
    let changed = changed.map_err(|e| session.explain(e))?;
    args.options.tell(session, "deleted", &changed)
}
