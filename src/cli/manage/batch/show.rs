//! `scitq manage batch show`.

use clap::Args;

use super::list::count;
use super::select::{SomeBatches, read_batch};
use crate::api::batch::{BatchDetail, BatchView, FailureGroup, Runtime};
use crate::api::worker::WorkerView;
use crate::cli::details::Details;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::print_json;
use crate::cli::output::Paint;
use crate::cli::session::Session;
use crate::domain::batch::{BatchPause, BatchSettings, LostAfter};
use crate::domain::task::TaskState;

/// Show all about batches: settings, tasks, times, failures, workers
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch show qc
  scitq manage batch show --json qc | jq .failures

With --json, one batch is an object and several are an array.")]
pub struct ShowArgs {
    #[command(flatten)]
    batches: SomeBatches,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_show(session: &Session, args: ShowArgs) -> Result<(), CliError> {
    let mut batches = Vec::new();
    for name in args.batches.names() {
        batches.push(read_batch(session, &name).await?);
    }
    if args.json {
        return print_json(&session.output, &batches);
    }
    let workers = session.client.list_workers().await.map_err(|e| session.explain(e))?.workers;
    for (position, detail) in batches.iter().enumerate() {
        if position > 0 {
            session.output.line("")?;
        }
        let name = &detail.batch.name;
        let own: Vec<&WorkerView> = workers.iter().filter(|worker| worker.batch == *name).collect();
        describe(detail, &own).print(&session.output)?;
    }
    Ok(())
}

fn describe(detail: &BatchDetail, workers: &[&WorkerView]) -> Details {
    let BatchDetail { batch, settings, why, failures } = detail;
    let mut lines = Details::default();
    lines.add("batch", &batch.name);
    match batch.pause {
        BatchPause::No => lines.painted("state", "goes", Paint::Good),
        BatchPause::Start => lines.painted("state", "paused: no command is started", Paint::Active),
        BatchPause::Tasks => lines.painted("state", "paused with its tasks", Paint::Active),
    };
    lines
        .maybe("why nothing runs", why.as_deref())
        .add("tasks", tasks(batch))
        .each("workers", workers.iter().map(|worker| describe_worker(worker)))
        .add("slots", format_args!("{} of {} taken", batch.slots.taken, batch.slots.total))
        .maybe("run times", batch.runtime.as_ref().map(run_times))
        .add("done lately", format_args!("{:.1} a minute", batch.throughput))
        .maybe("done in about", batch.remaining_seconds.map(format::duration))
        .each("cost an hour", amounts(&batch.cost_per_hour))
        .each("cost to date", amounts(&batch.spent))
        .each("failures", failures.iter().map(describe_failures));
    add_settings(&mut lines, settings);
    lines
}

/// What there is of each state, and in all.
fn tasks(batch: &BatchView) -> String {
    let all: u64 = batch.tasks.values().sum();
    let some = batch.tasks.iter().filter(|(_, count)| **count > 0);
    let parts: Vec<String> = some.map(|(state, count)| format!("{count} {state}")).collect();
    if parts.is_empty() {
        return "none".to_owned();
    }
    let ended = count(batch, TaskState::Succeeded) + count(batch, TaskState::Failed);
    format!("{all}: {}; {} % have ended", parts.join(", "), ended * 100 / all.max(1))
}

fn describe_worker(worker: &WorkerView) -> String {
    format!(
        "{} ({}), {}, {} of {} slots taken",
        worker.name, worker.id, worker.state, worker.slots.taken, worker.slots.total
    )
}

fn amounts(amounts: &std::collections::BTreeMap<String, f64>) -> Vec<String> {
    amounts.iter().map(|(currency, amount)| format!("{amount:.3} {currency}")).collect()
}

fn run_times(runtime: &Runtime) -> String {
    let time = format::duration;
    format!(
        "mean {} [{} – {}], median {}, 95 of 100 within {}, of {}",
        time(runtime.mean),
        time(runtime.minimum),
        time(runtime.maximum),
        time(runtime.median),
        time(runtime.percentile_95),
        format::counted(runtime.count, "task", "tasks")
    )
}

fn describe_failures(group: &FailureGroup) -> String {
    format!("{} × {}, as task {}", group.count, group.reason, group.example)
}

fn add_settings(lines: &mut Details, settings: &BatchSettings) {
    let seconds = |seconds: u32| format::duration(seconds.into());
    let BatchSettings { defaults, lost_after, output_limit, maximum_workers, maximum_cost } =
        settings;
    let lost = lost_after.map(|limit| match limit {
        LostAfter::Never => "never".to_owned(),
        LostAfter::Seconds(limit) => format!("{} of silence", seconds(limit)),
    });
    lines
        .add("lost after", lost.unwrap_or_else(|| "as the server has it".to_owned()))
        .add(
            "output limit",
            output_limit.map_or_else(|| "as the server has it".to_owned(), format::bytes),
        )
        .maybe("most workers", *maximum_workers)
        .maybe("most cost/h", *maximum_cost)
        .maybe("default retry", defaults.retry)
        .maybe("default priority", defaults.priority)
        .maybe("default cpu", defaults.cpu)
        .maybe("default memory", defaults.memory.map(format::bytes))
        .maybe("default shell", defaults.shell.as_deref())
        .maybe("default container", defaults.container.as_deref())
        .maybe("default container options", defaults.container_options.as_deref())
        .maybe("default pull", defaults.pull)
        .each("default env", defaults.env.iter().map(|(name, value)| format!("{name}={value}")))
        .each("default resource", &defaults.resource)
        .maybe("default user", defaults.uid)
        .maybe("default group", defaults.gid)
        .maybe("default run limit", defaults.run_timeout.map(seconds))
        .maybe("default download limit", defaults.download_timeout.map(seconds))
        .maybe("default upload limit", defaults.upload_timeout.map(seconds));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing;

    #[test]
    fn a_batch_is_told_in_readable_units() {
        let mut batch = testing::batch("qc");
        assert_eq!(tasks(&batch), "none");
        batch.tasks.extend([(TaskState::Succeeded, 3), (TaskState::Running, 1)]);
        assert_eq!(tasks(&batch), "4: 1 running, 3 succeeded; 75 % have ended");
        let runtime = Runtime {
            count: 3,
            mean: 90.0,
            minimum: 1.5,
            maximum: 7_200.0,
            median: 60.0,
            percentile_95: 7_000.0,
        };
        assert_eq!(
            run_times(&runtime),
            "mean 1 min 30 s [1.5 s – 2 h 00 min], median 1 min 00 s, \
             95 of 100 within 1 h 56 min, of 3 tasks"
        );
    }
}
