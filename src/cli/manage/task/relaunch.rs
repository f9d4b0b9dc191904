//! `scitq manage task relaunch`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::error::CliError;
use crate::cli::manage::options::ChangeOptions;
use crate::cli::manage::select::SomeTasks;
use crate::cli::session::Session;

/// Run tasks again, whatever became of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task relaunch 12 13
  scitq manage task relaunch --name assembly

A task that runs is cancelled first. All are relaunched, or none.")]
pub struct RelaunchArgs {
    #[command(flatten)]
    tasks: SomeTasks,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_relaunch(session: &Session, args: RelaunchArgs) -> Result<(), CliError> {
    let ids = args.tasks.find(session).await?;
    let changed = session.client.relaunch_tasks(&TaskIds { ids }).await;
    let changed = changed.map_err(|e| session.explain(e))?;
    args.options.tell(session, "relaunched", &changed)
}
