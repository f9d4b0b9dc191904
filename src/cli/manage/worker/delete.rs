//! `scitq manage worker delete`.

use clap::Args;

use super::select::SomeWorkers;
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Delete workers; what runs on them goes to others
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker delete 3
  scitq manage worker delete --yes --name node7

An agent that still runs registers again; stop it first.")]
pub struct DeleteArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_delete(session: &Session, args: DeleteArgs) -> Result<(), CliError> {
    let workers = args.workers.find(session).await?;
    let names: Vec<String> =
        workers.iter().map(|worker| format!("{} ({})", worker.id, worker.name)).collect();
    let held: u32 = workers.iter().map(|w| w.running + w.accepted + w.assigned).sum();
    let loss = match held {
        0 => String::new(),
        1 => ", which holds 1 execution".to_owned(),
        _ => format!(", which hold {held} executions"),
    };
    ask::confirm(args.consent, &format!("delete worker {}{loss}", names.join(", ")))?;
    for worker in &workers {
        session.client.delete_worker(worker.id).await.map_err(|e| session.explain(e))?;
        session.output.status(format_args!("worker {} deleted", worker.id));
    }
    Ok(())
}
