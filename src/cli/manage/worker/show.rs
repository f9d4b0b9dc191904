//! `scitq manage worker show`.

use clap::Args;
use jiff::tz::TimeZone;

use super::select::SomeWorkers;
use crate::api::worker::WorkerView;
use crate::cli::details::Details;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::print_json;
use crate::cli::manage::states::worker_paint;
use crate::cli::session::Session;
use crate::clock::SystemClock;
use crate::domain::worker::{Rate, WorkerStats};
use crate::domain::{Clock, Timestamp};

/// Show all about workers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker show 3
  scitq manage worker show --name node7 --json

With --json, one worker is an object and several are an array.")]
pub struct ShowArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_show(session: &Session, args: ShowArgs) -> Result<(), CliError> {
    let workers = args.workers.find(session).await?;
    if args.json {
        return print_json(&session.output, &workers);
    }
    let zone = TimeZone::system();
    let now = SystemClock.now().wall;
    for (position, worker) in workers.iter().enumerate() {
        if position > 0 {
            session.output.line("")?;
        }
        describe(worker, now, &zone).print(&session.output)?;
    }
    Ok(())
}

fn describe(worker: &WorkerView, now: Timestamp, zone: &TimeZone) -> Details {
    let machine = &worker.machine;
    let silence = worker.last_contact.map(|time| format::duration(now.seconds_since(time)));
    let silence = silence.map_or_else(|| "never".to_owned(), |time| format!("{time} ago"));
    let mut lines = Details::default();
    lines
        .add("worker", worker.id)
        .add("name", &worker.name)
        .painted("state", worker.state, worker_paint(worker.state))
        .add("wanted", worker.wanted)
        .add("seen", format_args!("{}, last {silence}", worker.seen))
        .add("batch", &worker.batch)
        .add("concurrency", worker.concurrency)
        .add("prefetch", worker.prefetch)
        .add(
            "executions",
            format_args!(
                "{} running, {} accepted, {} assigned",
                worker.running, worker.accepted, worker.assigned
            ),
        )
        .add("ever", format_args!("{} succeeded, {} failed", worker.succeeded, worker.failed))
        .add(
            "machine",
            format_args!(
                "{}, {} cores, {}",
                machine.hostname,
                machine.cores,
                format::bytes(machine.memory_bytes)
            ),
        )
        .maybe("flavor", machine.flavor.as_deref());
    if let Some(stats) = &worker.stats {
        add_stats(&mut lines, stats);
    }
    lines.add("agent", &worker.version).add(
        "registered",
        format_args!("{} by {}", format::date(worker.registered_at, zone), worker.created_by),
    );
    lines
}

fn add_stats(lines: &mut Details, stats: &WorkerStats) {
    let [one, five, fifteen] = stats.load;
    let disks = stats.disk_percent.iter().map(|(mount, used)| format!("{mount} {used:.0}% used"));
    lines
        .add(
            "cpu",
            format_args!(
                "{:.0}% user, {:.0}% waiting for disks, load {one:.1} {five:.1} {fifteen:.1}",
                stats.cpu_user_percent, stats.cpu_iowait_percent
            ),
        )
        .add("memory", format_args!("{:.0}% used", stats.memory_percent))
        .each("disks", disks)
        .add("disk read", rate(stats.disk_read))
        .add("disk write", rate(stats.disk_write))
        .add("sent", rate(stats.network_sent))
        .add("received", rate(stats.network_received));
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of bytes, shown with one decimal"
)]
fn rate(rate: Rate) -> String {
    let now = format::bytes(rate.bytes_per_second.max(0.0) as u64);
    format!("{now}/s, {} since the agent started", format::bytes(rate.total_bytes))
}
