//! `scitq manage task delete`.

use clap::Args;

use super::dependents::DependentsOptions;
use crate::api::task::{DeleteTasks, TaskIds};
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;

/// Delete tasks with their output
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task delete 12
  scitq manage task delete --yes --cascade 12 13
  scitq manage task delete --dry-run --batch qc --state failed

A task that runs is hidden at once and goes when it has ended; to end it,
cancel it first. Tasks that were named are all deleted, or none.")]
pub struct DeleteArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    dependents: DependentsOptions,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_delete(session: &Session, args: DeleteArgs) -> Result<(), CliError> {
    let dependents = args.dependents.chosen();
    let change = Change {
        verb: "delete",
        done: "deleted",
        with: args.dependents.addition(),
        asks: Asks::Always,
        // Of any state.
        states: &[],
    };
    let send = async |tasks: TaskIds| {
        let TaskIds { ids, unfit } = tasks;
        session.client.delete_tasks(&DeleteTasks { ids, dependents, unfit }).await
    };
    change_tasks(session, &args.tasks, args.options, &change, send).await
}
