//! `scitq manage batch list`.

use clap::Args;

use crate::api::batch::BatchView;
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::ListOptions;
use crate::cli::output::Paint;
use crate::cli::session::Session;
use crate::cli::table::{Cell, elastic, number, optional, text};
use crate::domain::batch::BatchPause;
use crate::domain::task::TaskState;

/// List batches with their tasks and workers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch list
  scitq manage batch list --sort failed:desc --columns batch,failed,eta

A batch that has only workers, or only settings, is listed as well.")]
pub struct ListArgs {
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let list = session.client.list_batches().await.map_err(|e| session.explain(e))?;
    args.options.print(session, fields(), list.batches)
}

/// So many tasks of the batch are in this state.
pub fn count(batch: &BatchView, state: TaskState) -> u64 {
    batch.tasks.get(&state).copied().unwrap_or(0)
}

/// A column with the number of tasks in one state.
macro_rules! tasks {
    ($title:literal, $state:ident) => {
        Field::new(number($title), |batch: &BatchView, _: &Moment| {
            count(batch, TaskState::$state).into()
        })
        .sorted(|a, b| count(a, TaskState::$state).cmp(&count(b, TaskState::$state)))
    };
}

fn fields() -> Vec<Field<BatchView>> {
    vec![
        Field::new(elastic("BATCH"), |batch: &BatchView, _: &Moment| batch.name.as_str().into())
            .sorted(|a, b| a.name.cmp(&b.name)),
        Field::new(text("PAUSED"), |batch: &BatchView, _| paused(batch))
            .sorted(|a, b| a.pause.cmp(&b.pause)),
        tasks!("WAITING", Waiting),
        tasks!("PENDING", Pending),
        tasks!("ASSIGNED", Assigned).wide(),
        tasks!("ACCEPTED", Accepted).wide(),
        tasks!("RUNNING", Running),
        tasks!("HELD", Paused).wide(),
        tasks!("SUCCEEDED", Succeeded),
        tasks!("FAILED", Failed),
        Field::new(number("WORKERS"), |batch: &BatchView, _| {
            batch.workers.values().sum::<u64>().into()
        })
        .sorted(|a, b| workers(a).cmp(&workers(b))),
        Field::new(optional(number("SLOTS")), |batch: &BatchView, _| {
            format!("{}/{}", batch.slots.taken, batch.slots.total).into()
        })
        .sorted(|a, b| a.slots.total.cmp(&b.slots.total)),
        Field::new(optional(number("MEAN")), |batch: &BatchView, _| {
            let mean = batch.runtime.map(|runtime| format::short_duration(runtime.mean));
            mean.unwrap_or_default().into()
        })
        .sorted(|a, b| mean(a).total_cmp(&mean(b))),
        Field::new(number("DONE/MIN"), |batch: &BatchView, _| {
            format!("{:.1}", batch.throughput).into()
        })
        .wide()
        .sorted(|a, b| a.throughput.total_cmp(&b.throughput)),
        Field::new(optional(number("ETA")), |batch: &BatchView, _| {
            batch.remaining_seconds.map(format::short_duration).unwrap_or_default().into()
        })
        .sorted(|a, b| {
            let left = |batch: &BatchView| batch.remaining_seconds.unwrap_or(f64::INFINITY);
            left(a).total_cmp(&left(b))
        }),
    ]
}

fn workers(batch: &BatchView) -> u64 {
    batch.workers.values().sum()
}

fn mean(batch: &BatchView) -> f64 {
    batch.runtime.map_or(-1.0, |runtime| runtime.mean)
}

/// How far it is paused; nothing where it is not.
fn paused(batch: &BatchView) -> Cell {
    match batch.pause {
        BatchPause::No => "".into(),
        pause => Cell::painted(pause.to_string(), Paint::Active),
    }
}
