//! `scitq manage task pause`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::task::TaskState;

/// Pause tasks: those that wait do not start, commands that run are suspended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task pause 12
  scitq manage task pause --batch qc --name 'align-*'

A suspended command keeps its slot and its memory, and the limit on its run
stands still. `manage task resume` lets tasks go on; `manage task hold` pauses
only those whose command has not been started.")]
pub struct PauseArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_pause(session: &Session, args: PauseArgs) -> Result<(), CliError> {
    let change = Change {
        verb: "pause",
        done: "paused",
        with: "",
        asks: Asks::ForDescriptions,
        states: &STATES,
    };
    let send = async |tasks: TaskIds| session.client.pause_tasks(&tasks).await;
    change_tasks(session, &args.tasks, args.options, &change, send).await
}

/// All that have neither ended nor been paused.
const STATES: [TaskState; 5] = [
    TaskState::Waiting,
    TaskState::Pending,
    TaskState::Assigned,
    TaskState::Accepted,
    TaskState::Running,
];
