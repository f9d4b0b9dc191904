//! `scitq manage task stop`.

use clap::Args;

use crate::api::task::{SignalTasks, TaskIds};
use crate::cli::error::CliError;
use crate::cli::manage::change::{ACTIVE, Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::signal::Signal;

/// Stop the commands of tasks with SIGTERM; they are not tried again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task stop 12
  scitq manage task stop --yes --batch qc --worker node7

The command has ten seconds to clean up before SIGKILL. The task fails as
cancelled. A task that no worker has is ended by `manage task cancel`.")]
pub struct StopArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_stop(session: &Session, args: StopArgs) -> Result<(), CliError> {
    let change =
        Change { verb: "stop", done: "stopped", with: "", asks: Asks::Always, states: &ACTIVE };
    let send = async |tasks: TaskIds| {
        let TaskIds { ids, unfit } = tasks;
        session.client.signal_tasks(&SignalTasks { ids, signal: Signal::Term, unfit }).await
    };
    change_tasks(session, &args.tasks, args.options, &change, send).await
}
