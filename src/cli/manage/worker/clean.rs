//! `scitq manage worker clean`.

use clap::Args;

use super::select::{self, SomeWorkers};
use crate::api::worker::{Clean, CleanWorker};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Delete files that tasks have left on workers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker clean 3
  scitq manage worker clean --resources --yes node7

The folders of failed tasks are kept on the worker for some days; this deletes
them now, and with them outputs that could not be sent. --resources deletes
cached resources that no task uses instead.")]
pub struct CleanArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    /// Delete cached resources that no task uses
    #[arg(long)]
    resources: bool,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_clean(session: &Session, args: CleanArgs) -> Result<(), CliError> {
    let workers = args.workers.find(session).await?;
    let (what, files) = if args.resources {
        (Clean::Resources, "unused resources")
    } else {
        (Clean::Tasks, "kept files of ended tasks")
    };
    let whose = select::describe(&workers);
    ask::confirm(args.consent, &format!("delete {files} on {whose}"))?;
    for worker in &workers {
        let cleaned = session.client.clean_worker(worker.id, CleanWorker { what }).await;
        cleaned.map_err(|e| session.explain(e))?;
        session.output.status(format_args!("worker {} deletes {files}", worker.id));
    }
    Ok(())
}
