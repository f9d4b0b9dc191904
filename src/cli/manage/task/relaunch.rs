//! `scitq manage task relaunch`.

use clap::Args;

use crate::api::task::{TaskIds, Unfit};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::manage::options::ChangeOptions;
use crate::cli::manage::select::{Selected, TaskSelection};
use crate::cli::session::Session;

/// Run tasks again, whatever became of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task relaunch 12 13
  scitq manage task relaunch --batch qc --state failed

A task that runs is cancelled first. All are relaunched, or none.")]
pub struct RelaunchArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_relaunch(session: &Session, args: RelaunchArgs) -> Result<(), CliError> {
    let selected = args.tasks.find(session).await?;
    if matches!(selected, Selected::Fitting(_)) {
        ask::confirm(args.consent, &format!("relaunch {}", selected.describe()))?;
    }
    let changed = session
        .client
        .relaunch_tasks(&TaskIds { ids: selected.into_ids(), unfit: Unfit::Refuse })
        .await;
    let changed = changed.map_err(|e| session.explain(e))?;
    args.options.tell(session, "relaunched", &changed)
}
