//! `scitq manage worker update`.

use clap::Args;

use super::select::SomeWorkers;
use crate::api::worker::UpdateWorker;
use crate::cli::error::CliError;
use crate::cli::manage::options::print_json;
use crate::cli::manage::states;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::worker::WantedState;

/// Change how workers work
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker update 3 --concurrency 8 --prefetch 2
  scitq manage worker update --name node7 --state draining
  scitq manage worker update 3,4,5 --batch assembly

A paused worker takes nothing new; a draining one also leaves after its last
execution. Commands that run go on in any case.")]
pub struct UpdateArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    #[command(flatten)]
    changes: Changes,
    /// Print the workers as JSON
    #[arg(long)]
    json: bool,
}

/// What is changed.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// Want them running, paused or draining
    #[arg(short = 'S', long, value_name = "STATE", value_parser = states::parser::<WantedState>())]
    state: Option<WantedState>,
    /// Move them to this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Run so many commands at once
    #[arg(short = 'C', long, value_name = "COUNT", value_parser = parse::count::<u32>)]
    concurrency: Option<u32>,
    /// Hold so many more executions, to fetch their data ahead
    #[arg(short, long, value_name = "COUNT", value_parser = parse::count::<u32>)]
    prefetch: Option<u32>,
}

pub async fn cmd_update(session: &Session, args: UpdateArgs) -> Result<(), CliError> {
    let update = UpdateWorker {
        batch: args.changes.batch,
        concurrency: args.changes.concurrency,
        prefetch: args.changes.prefetch,
        wanted: args.changes.state,
    };
    let mut changed = Vec::new();
    for worker in args.workers.find(session).await? {
        let answer = session.client.update_worker(worker.id, &update).await;
        changed.push(answer.map_err(|e| session.explain(e))?);
    }
    if args.json {
        return print_json(&session.output, &changed);
    }
    for worker in &changed {
        session.output.status(format_args!(
            "worker {} ({}): {}, batch {}, concurrency {}, prefetch {}",
            worker.id,
            worker.name,
            worker.wanted,
            worker.batch,
            worker.concurrency,
            worker.prefetch
        ));
    }
    Ok(())
}
