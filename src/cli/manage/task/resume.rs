//! `scitq manage task resume`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::task::TaskState;

/// Let paused tasks go on, whoever paused them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task resume 12
  scitq manage task resume --yes --batch qc

A task that was paused with its batch goes on as well. In a batch that is
paused, commands start only after `manage batch go`.")]
pub struct ResumeArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_resume(session: &Session, args: ResumeArgs) -> Result<(), CliError> {
    let change = Change {
        verb: "resume",
        done: "resumed",
        with: "",
        asks: Asks::ForDescriptions,
        states: &[TaskState::Paused],
    };
    let send = async |tasks: TaskIds| session.client.resume_tasks(&tasks).await;
    change_tasks(session, &args.tasks, args.options, &change, send).await
}
