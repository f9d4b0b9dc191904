//! `scitq manage task relaunch`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::task::TaskState;

/// Run tasks again, whatever became of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task relaunch 12 13
  scitq manage task relaunch --batch qc --state failed
  scitq manage task list -H --columns id --state failed --tag run=7 | \\
      scitq manage task relaunch --yes -

A task that runs is cancelled first. Tasks that were named are all relaunched,
or none.")]
pub struct RelaunchArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_relaunch(session: &Session, args: RelaunchArgs) -> Result<(), CliError> {
    let change = Change {
        verb: "relaunch",
        done: "relaunched",
        with: "",
        asks: Asks::ForDescriptions,
        states: &STATES,
    };
    let send = async |tasks: TaskIds| session.client.relaunch_tasks(&tasks).await;
    change_tasks(session, &args.tasks, args.options, &change, send).await
}

/// Those that have been on a worker: the others are in the queue anyway.
const STATES: [TaskState; 6] = [
    TaskState::Assigned,
    TaskState::Accepted,
    TaskState::Running,
    TaskState::Paused,
    TaskState::Succeeded,
    TaskState::Failed,
];
