//! `scitq manage task hold`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_selected};
use crate::cli::manage::select::{Selected, TaskSelection};
use crate::cli::session::Session;
use crate::domain::task::TaskState;

/// Hold back tasks that have not begun: a pause that suspends no command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task hold 12
  scitq manage task hold --batch qc

The same as `manage task pause`, but for tasks whose command has not been
started: one that runs is refused, or left out of those that fit a description.
`manage task resume` lets them go on.")]
pub struct HoldArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Those whose command has not been started.
const STATES: [TaskState; 4] =
    [TaskState::Waiting, TaskState::Pending, TaskState::Assigned, TaskState::Accepted];

pub async fn cmd_hold(session: &Session, args: HoldArgs) -> Result<(), CliError> {
    let change = Change {
        verb: "hold",
        done: "held",
        with: "",
        asks: Asks::ForDescriptions,
        states: &STATES,
    };
    let selected = args.tasks.find(session, change.states).await?;
    if let Selected::Named(ids) = &selected {
        for id in ids {
            let task = session.client.task(*id).await.map_err(|e| session.explain(e))?.task;
            if task.state == TaskState::Running {
                return Err(CliError::refused(format!("task {id} runs already"))
                    .hint(format!("`scitq manage task pause {id}` suspends it")));
            }
        }
    }
    let send = async |tasks: TaskIds| session.client.pause_tasks(&tasks).await;
    change_selected(session, &selected, args.options, &change, send).await
}
