//! `scitq manage task cancel`.

use clap::Args;

use crate::api::task::TaskIds;
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::manage::options::ChangeOptions;
use crate::cli::manage::select::SomeTasks;
use crate::cli::session::Session;

/// End tasks: they fail as cancelled and are not tried again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task cancel 12 13
  scitq manage task list --batch qc --state running --json-lines |
      jq .id | xargs scitq manage task cancel --yes

A running command gets SIGTERM, and SIGKILL ten seconds later.
All are cancelled, or none.")]
pub struct CancelArgs {
    #[command(flatten)]
    tasks: SomeTasks,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    options: ChangeOptions,
}

pub async fn cmd_cancel(session: &Session, args: CancelArgs) -> Result<(), CliError> {
    let ids = args.tasks.find(session).await?;
    let what = match ids.as_slice() {
        [id] => format!("cancel task {id}"),
        ids => format!("cancel {} tasks", ids.len()),
    };
    ask::confirm(args.consent, &what)?;
    let changed = session.client.cancel_tasks(&TaskIds { ids }).await;
    let changed = changed.map_err(|e| session.explain(e))?;
    args.options.tell(session, "cancelled", &changed)
}
