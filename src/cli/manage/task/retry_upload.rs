//! `scitq manage task retry-upload`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;
use crate::domain::task::TaskState;

/// Send the outputs of tasks again, without running them again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task retry-upload 12
  scitq manage task update 12 --output s3://other/results/ --no-run
  scitq manage task retry-upload --batch qc --state failed

A task whose outputs could not be sent fails with the class `upload`, and its
files stay on its worker for some days. The worker has to be connected. Outputs
go where the task wants them now. Tasks that were named are all sent, or none.")]
pub struct RetryUploadArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_retry_upload(session: &Session, args: RetryUploadArgs) -> Result<(), CliError> {
    let change = Change {
        verb: "send again",
        done: "sending again",
        with: "",
        asks: Asks::ForDescriptions,
        states: &[TaskState::Failed],
    };
    let send = async |tasks: TaskIds| session.client.retry_uploads(&tasks).await;
    change_tasks(session, &args.tasks, args.options, &change, send).await
}
