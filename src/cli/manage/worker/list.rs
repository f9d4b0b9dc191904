//! `scitq manage worker list`.

use clap::Args;

use crate::api::worker::WorkerView;
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::ListOptions;
use crate::cli::manage::states::{self, worker_paint};
use crate::cli::session::Session;
use crate::cli::table::{Cell, elastic, number, optional, text};
use crate::domain::BatchName;
use crate::domain::worker::WorkerState;

/// List workers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker list
  scitq manage worker list --batch qc --state offline,failed --wide
  scitq manage worker list --columns name,cpu,mem --sort cpu:desc")]
pub struct ListArgs {
    /// Only workers of this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Only workers in these states, separated by commas
    #[arg(short = 'S', long, alias = "status", value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<WorkerState>())]
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
    args.options.print(&session.output, fields(), workers)
}

fn fields() -> Vec<Field<WorkerView>> {
    let mut fields = usual_fields();
    fields.extend([
        Field::new(number("CORES"), |worker: &WorkerView, _: &Moment| worker.machine.cores.into())
            .wide()
            .sorted(|a, b| a.machine.cores.cmp(&b.machine.cores)),
        Field::new(number("MEMORY"), |worker: &WorkerView, _| {
            format::bytes(worker.machine.memory_bytes).into()
        })
        .wide()
        .sorted(|a, b| a.machine.memory_bytes.cmp(&b.machine.memory_bytes)),
        Field::new(text("FLAVOR"), |worker: &WorkerView, _| {
            worker.machine.flavor.as_deref().unwrap_or_default().into()
        })
        .wide()
        .sorted(|a, b| a.machine.flavor.cmp(&b.machine.flavor)),
        Field::new(text("REGION"), |worker: &WorkerView, _| {
            worker.machine.region.as_deref().unwrap_or_default().into()
        })
        .wide()
        .sorted(|a, b| a.machine.region.cmp(&b.machine.region)),
        Field::new(text("PROVIDER"), |worker: &WorkerView, _| {
            worker.machine.provider.as_deref().unwrap_or_default().into()
        })
        .wide()
        .sorted(|a, b| a.machine.provider.cmp(&b.machine.provider)),
        Field::new(number("COST/H"), |worker: &WorkerView, _| {
            let hire = worker.hire.as_ref();
            let cost = hire.and_then(|hire| Some(format!("{} {}", hire.cost?, hire.currency)));
            cost.unwrap_or_default().trim().to_owned().into()
        })
        .wide(),
        Field::new(text("HOST"), |worker: &WorkerView, _| worker.machine.hostname.as_str().into())
            .wide()
            .sorted(|a, b| a.machine.hostname.cmp(&b.machine.hostname)),
        Field::new(text("VERSION"), |worker: &WorkerView, _| worker.version.as_str().into())
            .wide()
            .sorted(|a, b| a.version.cmp(&b.version)),
        Field::new(text("WANTED"), |worker: &WorkerView, _| worker.wanted.into()).wide(),
        Field::new(number("ORPHANS"), |worker: &WorkerView, _| worker.orphans.len().into())
            .wide()
            .sorted(|a, b| a.orphans.len().cmp(&b.orphans.len())),
        Field::new(text("REGISTERED"), |worker: &WorkerView, moment| {
            format::date(worker.registered_at, &moment.zone).into()
        })
        .wide()
        .sorted(|a, b| a.registered_at.cmp(&b.registered_at)),
    ]);
    fields
}

fn usual_fields() -> Vec<Field<WorkerView>> {
    vec![
        Field::new(number("ID"), |worker: &WorkerView, _: &Moment| worker.id.into())
            .sorted(|a, b| a.id.cmp(&b.id)),
        Field::new(elastic("NAME"), |worker: &WorkerView, _| worker.name.as_str().into())
            .sorted(|a, b| a.name.cmp(&b.name)),
        Field::new(text("STATE"), |worker: &WorkerView, _| {
            Cell::painted(worker.state.to_string(), worker_paint(worker.state))
        })
        .sorted(|a, b| a.state.cmp(&b.state)),
        Field::new(elastic("BATCH"), |worker: &WorkerView, _| worker.batch.as_str().into())
            .sorted(|a, b| a.batch.cmp(&b.batch)),
        Field::new(number("SLOTS"), |worker: &WorkerView, _| slots(worker).into())
            .sorted(|a, b| a.concurrency.cmp(&b.concurrency)),
        Field::new(number("RUN"), |worker: &WorkerView, _| worker.running.into())
            .sorted(|a, b| a.running.cmp(&b.running)),
        Field::new(number("WAIT"), |worker: &WorkerView, _| {
            (worker.assigned + worker.accepted).into()
        })
        .sorted(|a, b| (a.assigned + a.accepted).cmp(&(b.assigned + b.accepted))),
        Field::new(number("DONE"), |worker: &WorkerView, _| worker.succeeded.into())
            .sorted(|a, b| a.succeeded.cmp(&b.succeeded)),
        Field::new(number("FAILED"), |worker: &WorkerView, _| worker.failed.into())
            .sorted(|a, b| a.failed.cmp(&b.failed)),
        Field::new(optional(number("CPU")), |worker: &WorkerView, _| {
            percent(worker.stats.as_ref().map(|stats| stats.cpu_user_percent)).into()
        })
        .sorted(|a, b| {
            let cpu = |w: &WorkerView| w.stats.as_ref().map_or(-1.0, |s| s.cpu_user_percent);
            cpu(a).total_cmp(&cpu(b))
        }),
        Field::new(optional(number("MEM")), |worker: &WorkerView, _| {
            percent(worker.stats.as_ref().map(|stats| stats.memory_percent)).into()
        })
        .sorted(|a, b| {
            let memory = |w: &WorkerView| w.stats.as_ref().map_or(-1.0, |s| s.memory_percent);
            memory(a).total_cmp(&memory(b))
        }),
        Field::new(number("SILENT"), |worker: &WorkerView, moment| {
            let silence = worker.last_contact.map(|time| moment.now.seconds_since(time));
            silence.map(format::short_duration).unwrap_or_default().into()
        })
        .sorted(|a, b| b.last_contact.cmp(&a.last_contact)),
    ]
}

/// Slots, and what is held beyond them: `4+2`.
fn slots(worker: &WorkerView) -> String {
    match worker.prefetch {
        0 => worker.concurrency.to_string(),
        prefetch => format!("{}+{prefetch}", worker.concurrency),
    }
}

fn percent(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.0}%")).unwrap_or_default()
}
