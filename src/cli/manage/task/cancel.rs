//! `scitq manage task cancel`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, UNFINISHED, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;

/// End tasks: they fail as cancelled and are not tried again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task cancel 12 13
  scitq manage task cancel --yes --batch qc --state waiting,pending

A running command gets SIGTERM, and SIGKILL ten seconds later. Tasks that were
named are all cancelled, or none; of those that fit a description, the ones
that have not ended.")]
pub struct CancelArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_cancel(session: &Session, args: CancelArgs) -> Result<(), CliError> {
    let change = Change {
        verb: "cancel",
        done: "cancelled",
        with: "",
        asks: Asks::Always,
        states: &UNFINISHED,
    };
    let send = async |tasks: TaskIds| session.client.cancel_tasks(&tasks).await;
    change_tasks(session, &args.tasks, args.options, &change, send).await
}
