//! `scitq manage batch move`.

use clap::Args;

use crate::api::worker::UpdateWorker;
use crate::cli::error::CliError;
use crate::cli::manage::worker::{WorkerRef, find_workers, parse_worker};
use crate::cli::session::Session;
use crate::domain::BatchName;

/// Move workers into a batch
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch move assembly --worker node7 node8
  scitq manage batch move -n qc -w 3,4

A worker that is moved finishes what it has taken. A batch that is not there is
made.")]
pub struct MoveArgs {
    #[command(flatten)]
    batch: super::select::OneBatch,
    /// The workers, by id or name, separated by spaces or commas
    #[arg(short, long, value_name = "WORKER", num_args = 1.., required = true, value_delimiter = ',', value_parser = parse_worker)]
    worker: Vec<WorkerRef>,
}

pub async fn cmd_move(session: &Session, args: MoveArgs) -> Result<(), CliError> {
    let batch: BatchName = args.batch.named()?;
    for worker in find_workers(session, &args.worker).await? {
        let update = UpdateWorker { batch: Some(batch.clone()), ..UpdateWorker::default() };
        let moved = session.client.update_worker(worker.id, &update).await;
        moved.map_err(|e| session.explain(e))?;
        session.output.status(format_args!(
            "worker {} ({}) moved from batch {} to {batch}",
            worker.id, worker.name, worker.batch
        ));
    }
    Ok(())
}
