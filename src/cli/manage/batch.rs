//! `scitq manage batch VERB`.

use clap::{Args, Subcommand};

use super::options::ListOptions;
use crate::api::batch::BatchView;
use crate::cli::error::CliError;
use crate::cli::listing::Listing;
use crate::cli::session::Session;
use crate::cli::table::{Cell, elastic, number, optional};
use crate::domain::task::TaskState;

/// List batches
#[derive(Debug, Args)]
pub struct BatchArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
}

/// List batches with their tasks and workers
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage batch list")]
struct ListArgs {
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_batch(session: &Session, args: BatchArgs) -> Result<(), CliError> {
    let Verb::List(args) = args.verb;
    let list = session.client.list_batches().await.map_err(|e| session.explain(e))?;
    let columns = vec![
        elastic("BATCH"),
        number("WAITING"),
        number("PENDING"),
        optional(number("ASSIGNED")),
        optional(number("ACCEPTED")),
        number("RUNNING"),
        number("SUCCEEDED"),
        number("FAILED"),
        number("WORKERS"),
    ];
    let mut listing = Listing::new(&session.output, args.options.form(), columns, row);
    listing.page(&list.batches)?;
    listing.finish()
}

fn row(batch: &BatchView) -> Vec<Cell> {
    let tasks = |state| batch.tasks.get(&state).copied().unwrap_or(0).into();
    vec![
        batch.name.as_str().into(),
        tasks(TaskState::Waiting),
        tasks(TaskState::Pending),
        tasks(TaskState::Assigned),
        tasks(TaskState::Accepted),
        tasks(TaskState::Running),
        tasks(TaskState::Succeeded),
        tasks(TaskState::Failed),
        batch.workers.values().sum::<u64>().into(),
    ]
}
