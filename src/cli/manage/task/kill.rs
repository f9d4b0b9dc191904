//! `scitq manage task kill`.

use clap::Args;

use crate::api::task::{SignalTasks, TaskIds};
use crate::cli::error::CliError;
use crate::cli::manage::change::{ACTIVE, Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::signal::Signal;

/// Kill the commands of tasks with SIGKILL; they are not tried again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task kill 12
  scitq manage task kill --yes --batch qc --worker node7

The command cannot clean up. The task fails as cancelled.")]
pub struct KillArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_kill(session: &Session, args: KillArgs) -> Result<(), CliError> {
    let change =
        Change { verb: "kill", done: "killed", with: "", asks: Asks::Always, states: &ACTIVE };
    let send = async |tasks: TaskIds| {
        let TaskIds { ids, unfit } = tasks;
        session.client.signal_tasks(&SignalTasks { ids, signal: Signal::Kill, unfit }).await
    };
    change_tasks(session, &args.tasks, args.options, &change, send).await
}
