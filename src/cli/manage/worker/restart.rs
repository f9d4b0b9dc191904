//! `scitq manage worker restart`.

use clap::Args;

use super::select::SomeWorkers;
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Replace the agents of workers by new processes; their commands run on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker restart 3
  scitq manage worker restart node7 node8

The new agent is the program that lies where the old one was started from, so
that this puts an upgrade into use. Nothing that runs is ended.")]
pub struct RestartArgs {
    #[command(flatten)]
    workers: SomeWorkers,
}

pub async fn cmd_restart(session: &Session, args: RestartArgs) -> Result<(), CliError> {
    for worker in args.workers.find(session).await? {
        session.client.restart_worker(worker.id).await.map_err(|e| session.explain(e))?;
        session.output.status(format_args!("worker {} ({}) restarts", worker.id, worker.name));
    }
    Ok(())
}
