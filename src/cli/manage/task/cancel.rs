//! `scitq manage task cancel`.

use clap::Args;

use crate::api::task::{TaskIds, Unfit};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::manage::options::ChangeOptions;
use crate::cli::manage::select::TaskSelection;
use crate::cli::session::Session;

/// End tasks: they fail as cancelled and are not tried again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task cancel 12 13
  scitq manage task cancel --yes --batch qc --state waiting,pending

A running command gets SIGTERM, and SIGKILL ten seconds later.
All are cancelled, or none.")]
pub struct CancelArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_cancel(session: &Session, args: CancelArgs) -> Result<(), CliError> {
    let selected = args.tasks.find(session).await?;
    ask::confirm(args.consent, &format!("cancel {}", selected.describe()))?;
    let changed = session
        .client
        .cancel_tasks(&TaskIds { ids: selected.into_ids(), unfit: Unfit::Refuse })
        .await;
    let changed = changed.map_err(|e| session.explain(e))?;
    args.options.tell(session, "cancelled", &changed)
}
