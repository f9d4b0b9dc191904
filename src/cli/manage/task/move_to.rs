//! `scitq manage task move`.

use clap::Args;

use crate::api::task::{MoveTasks, TaskIds};
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, UNFINISHED, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::BatchName;

/// Move tasks to another batch
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task move 12 13 --to urgent
  scitq manage task move --batch qc --state pending --to spare

What the workers of the old batch have taken they finish; the others take it
from then on.")]
pub struct MoveArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    /// The batch to which they go
    #[arg(short, long, value_name = "BATCH")]
    to: BatchName,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_move(session: &Session, args: MoveArgs) -> Result<(), CliError> {
    let to = format!(" to batch {}", args.to);
    let change = Change {
        verb: "move",
        done: "moved",
        with: &to,
        asks: Asks::ForDescriptions,
        states: &UNFINISHED,
    };
    let send = async |tasks: TaskIds| {
        let batch = args.to.clone();
        session.client.move_tasks(&MoveTasks { ids: tasks.ids, batch }).await
    };
    change_tasks(session, &args.tasks, args.options, &change, send).await
}
