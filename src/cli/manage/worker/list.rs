//! `scitq manage worker list`.

use clap::Args;
use jiff::tz::TimeZone;

use crate::api::worker::WorkerView;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::listing::Listing;
use crate::cli::manage::options::ListOptions;
use crate::cli::manage::states::{self, worker_paint};
use crate::cli::session::Session;
use crate::cli::table::{Cell, Column, elastic, number, optional, text};
use crate::clock::SystemClock;
use crate::domain::worker::WorkerState;
use crate::domain::{BatchName, Clock, Timestamp};

/// List workers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker list
  scitq manage worker list --batch qc --state offline,failed --wide")]
pub struct ListArgs {
    /// Only workers of this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Only workers in these states, separated by commas
    #[arg(short = 'S', long, value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<WorkerState>())]
    state: Vec<WorkerState>,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let list = session.client.list_workers().await.map_err(|e| session.explain(e))?;
    let mut workers = list.workers;
    workers.retain(|worker| {
        args.batch.as_ref().is_none_or(|batch| worker.batch == *batch)
            && (args.state.is_empty() || args.state.contains(&worker.state))
    });
    let is_wide = args.options.wide;
    let zone = TimeZone::system();
    let now = SystemClock.now().wall;
    let row = |worker: &WorkerView| row(worker, now, is_wide.then_some(&zone));
    let mut listing = Listing::new(&session.output, args.options.form(), columns(is_wide), row);
    listing.page(&workers)?;
    listing.finish()
}

fn columns(is_wide: bool) -> Vec<Column> {
    let mut columns = vec![number("ID"), elastic("NAME"), text("STATE"), elastic("BATCH")];
    columns.extend([number("SLOTS"), number("RUN"), number("WAIT"), number("DONE")]);
    columns.extend([
        number("FAILED"),
        optional(number("CPU")),
        optional(number("MEM")),
        number("SILENT"),
    ]);
    if is_wide {
        columns.extend([number("CORES"), number("MEMORY"), text("FLAVOR"), text("HOST")]);
        columns.extend([text("VERSION"), text("WANTED"), text("REGISTERED")]);
    }
    columns
}

fn row(worker: &WorkerView, now: Timestamp, wide: Option<&TimeZone>) -> Vec<Cell> {
    let percent = |value: f64| format!("{value:.0}%");
    let stats = worker.stats.as_ref();
    let silence = worker.last_contact.map(|time| now.seconds_since(time));
    let slots = match worker.prefetch {
        0 => worker.concurrency.to_string(),
        prefetch => format!("{}+{prefetch}", worker.concurrency),
    };
    let mut cells: Vec<Cell> = vec![
        worker.id.into(),
        worker.name.as_str().into(),
        Cell::painted(worker.state.to_string(), worker_paint(worker.state)),
        worker.batch.as_str().into(),
        slots.into(),
        worker.running.into(),
        (worker.assigned + worker.accepted).into(),
        worker.succeeded.into(),
        worker.failed.into(),
        stats.map(|stats| percent(stats.cpu_user_percent)).unwrap_or_default().into(),
        stats.map(|stats| percent(stats.memory_percent)).unwrap_or_default().into(),
        silence.map(format::short_duration).unwrap_or_default().into(),
    ];
    if let Some(zone) = wide {
        cells.extend([
            worker.machine.cores.into(),
            format::bytes(worker.machine.memory_bytes).into(),
            worker.machine.flavor.as_deref().unwrap_or_default().into(),
            worker.machine.hostname.as_str().into(),
            worker.version.as_str().into(),
            worker.wanted.into(),
            format::date(worker.registered_at, zone).into(),
        ]);
    }
    cells
}
