//! `scitq manage task output`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::follow::{Beginning, Extent, follow_task, show_execution};
use crate::cli::manage::options::StreamOptions;
use crate::cli::manage::select::OneTask;
use crate::cli::session::Session;

/// Print what a task wrote, byte for byte
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task output 12
  scitq manage task output --follow --name assembly

The output is that of the latest execution; `manage execution output` prints
that of an earlier one.")]
pub struct OutputArgs {
    #[command(flatten)]
    task: OneTask,
    #[command(flatten)]
    streams: StreamOptions,
    /// Go on until the task has ended, over retries too
    #[arg(short, long)]
    follow: bool,
}

pub async fn cmd_output(session: &Session, args: OutputArgs) -> Result<(), CliError> {
    let id = args.task.find(session).await?;
    let streams = args.streams.chosen();
    if args.follow {
        let beginning = Beginning::LatestExecution;
        follow_task(session, &session.client, id, beginning, streams).await?;
        return Ok(());
    }
    let task = session.client.task(id).await.map_err(|e| session.explain(e))?.task;
    let Some(execution) = task.execution else {
        session.output.status(format_args!("task {id} has not run yet; it is {}", task.state));
        return Ok(());
    };
    show_execution(session, &session.client, execution, streams, Extent::SoFar).await
}
