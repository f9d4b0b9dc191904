//! `scitq manage worker show`.

use clap::Args;

use super::select::SomeWorkers;
use super::why::why_nothing_new;
use crate::api::ErrorCode;
use crate::api::batch::BatchView;
use crate::api::execution::{ExecutionView, ListExecutions};
use crate::api::hiring::HireView;
use crate::api::worker::{Orphan, WorkerView};
use crate::cli::columns::Moment;
use crate::cli::details::Details;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::execution::print_executions;
use crate::cli::manage::options::print_json;
use crate::cli::manage::states::{self, worker_paint};
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::execution::ExecutionState;
use crate::domain::worker::{MemoryLimit, Rate, WorkerStats};

/// Show all about workers: machine, load, what they hold, why they take nothing
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker show 3
  scitq manage worker show node7 --json

With --json, one worker is an object and several are an array.")]
pub struct ShowArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Executions on one worker that are shown at most.
const MOST_HELD: u32 = 1_000;

pub async fn cmd_show(session: &Session, args: ShowArgs) -> Result<(), CliError> {
    let workers = args.workers.find(session).await?;
    if args.json {
        return print_json(&session.output, &workers);
    }
    let moment = Moment::present();
    for (position, worker) in workers.iter().enumerate() {
        if position > 0 {
            session.output.line("")?;
        }
        let batch = find_batch(session, &worker.batch).await?;
        describe(worker, batch.as_ref(), &moment).print(&session.output)?;
        let held = list_held(session, worker).await?;
        if !held.is_empty() {
            session.output.line("")?;
            let columns = ["ID", "TASK", "TRY", "STATE", "TIME", "PHASE", "OUT", "ERR"];
            print_executions(session, &held, &columns, &moment)?;
        }
    }
    Ok(())
}

/// A batch; none where the server has nothing of that name.
async fn find_batch(session: &Session, name: &BatchName) -> Result<Option<BatchView>, CliError> {
    match session.client.batch(name).await {
        Ok(detail) => Ok(Some(detail.batch)),
        Err(error) if error.is_refused_as(ErrorCode::NotFound) => Ok(None),
        Err(error) => Err(session.explain(error)),
    }
}

/// The executions that a worker has and that have not ended.
async fn list_held(session: &Session, worker: &WorkerView) -> Result<Vec<ExecutionView>, CliError> {
    if worker.running + worker.accepted + worker.assigned == 0 {
        return Ok(Vec::new());
    }
    let live = [ExecutionState::Running, ExecutionState::Accepted, ExecutionState::Pending];
    let query = ListExecutions {
        worker: Some(worker.id),
        state: states::joined(&live),
        limit: Some(MOST_HELD),
        ..ListExecutions::default()
    };
    let page = session.client.list_executions(&query).await.map_err(|e| session.explain(e))?;
    Ok(page.executions)
}

fn describe_hire(hire: &HireView, moment: &Moment) -> String {
    let since = format::date(hire.hired_at, &moment.zone);
    let by = hire.recruiter.map(|rank| format!(" by recruiter {rank}")).unwrap_or_default();
    let cost = hire.cost.map_or_else(
        || "at a price that is not known".to_owned(),
        |cost| format!("{cost} {0} an hour, {1:.3} {0} to date", hire.currency, hire.spent),
    );
    format!("{since}{by}, {cost}")
}

fn describe(worker: &WorkerView, batch: Option<&BatchView>, moment: &Moment) -> Details {
    let machine = &worker.machine;
    let silence = worker.last_contact.map(|time| moment.now.seconds_since(time));
    let silence = silence
        .map_or_else(|| "never".to_owned(), |time| format!("{} ago", format::duration(time)));
    let mut lines = Details::default();
    lines
        .add("worker", worker.id)
        .add("name", &worker.name)
        .painted("state", worker.state, worker_paint(worker.state))
        .maybe("failure", worker.failure.as_deref())
        .maybe("takes nothing", why_nothing_new(worker, batch))
        .add("wanted", worker.wanted)
        .add("seen", format_args!("{}, last {silence}", worker.seen))
        .add("batch", &worker.batch)
        .add("slots", format_args!("{} of {} taken", worker.slots.taken, worker.slots.total))
        .add("concurrency", worker.concurrency)
        .add("prefetch", worker.prefetch)
        .add("lost after", lost_after(worker))
        .add(
            "executions",
            format_args!(
                "{} running, {} accepted, {} assigned",
                worker.running, worker.accepted, worker.assigned
            ),
        )
        .add("ever", format_args!("{} succeeded, {} failed", worker.succeeded, worker.failed))
        .each("orphans", worker.orphans.iter().map(|orphan| describe_orphan(orphan, moment)))
        .add(
            "machine",
            format_args!(
                "{}, {} cores, {}",
                machine.hostname,
                machine.cores,
                format::bytes(machine.memory_bytes)
            ),
        )
        .maybe("flavor", machine.flavor.as_deref())
        .maybe("region", machine.region.as_deref())
        .maybe("provider", machine.provider.as_deref())
        .maybe("hired", worker.hire.as_ref().map(|hire| describe_hire(hire, moment)))
        .add("containers", machine.engine.as_deref().unwrap_or("no engine"))
        .maybe("memory limits", machine.memory_limit.as_ref().map(describe_limit));
    if let Some(stats) = &worker.stats {
        add_stats(&mut lines, stats);
    }
    let since = format::date(worker.registered_at, &moment.zone);
    lines
        .add("agent", &worker.version)
        .add("registered", format_args!("{since} by {}", worker.created_by));
    lines
}

#[expect(clippy::cast_precision_loss, reason = "seconds, shown in the two largest units")]
fn lost_after(worker: &WorkerView) -> String {
    let limit = worker.lost_after_seconds.map(|seconds| seconds as f64);
    limit.map_or_else(
        || "never".to_owned(),
        |limit| format!("{} of silence", format::duration(limit)),
    )
}

fn describe_limit(limit: &MemoryLimit) -> String {
    match limit {
        MemoryLimit::Cgroup { version } => {
            format!("kept by the kernel, peaks are exact (control groups, version {version})")
        }
        MemoryLimit::None { reason } => format!("not kept by the kernel: {reason}"),
    }
}

fn describe_orphan(orphan: &Orphan, moment: &Moment) -> String {
    let state = if orphan.ended { "ended".to_owned() } else { orphan.phase.to_string() };
    let since =
        orphan.started_at.map(|time| format!(" since {}", format::date(time, &moment.zone)));
    let origin = if orphan.own_store { "can be adopted" } else { "of another database" };
    format!(
        "execution {} of task {}, {state}{}, {origin}: {}",
        orphan.execution,
        orphan.task,
        since.unwrap_or_default(),
        orphan.command
    )
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
