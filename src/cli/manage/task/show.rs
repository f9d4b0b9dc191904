//! `scitq manage task show`.

use clap::Args;

use crate::api::execution::ExecutionView;
use crate::api::task::{RelatedTask, TaskDetail, TaskView};
use crate::cli::columns::Moment;
use crate::cli::details::Details;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::execution::print_executions;
use crate::cli::manage::options::print_json;
use crate::cli::manage::select::SomeTasks;
use crate::cli::manage::states::{self, task_paint};
use crate::cli::session::Session;
use crate::domain::Timestamp;
use crate::domain::task::{Hold, TaskSpec, Until};

/// Show all about tasks, and why they do not run
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task show 12
  scitq manage task show --json --name assembly | jq -r .failure_reason

With --json, one task is an object and several are an array.")]
pub struct ShowArgs {
    #[command(flatten)]
    tasks: SomeTasks,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_show(session: &Session, args: ShowArgs) -> Result<(), CliError> {
    let mut tasks = Vec::new();
    for id in args.tasks.find(session).await? {
        tasks.push(session.client.task(id).await.map_err(|e| session.explain(e))?);
    }
    if args.json {
        return print_json(&session.output, &tasks);
    }
    let moment = Moment::present();
    for (position, detail) in tasks.iter().enumerate() {
        if position > 0 {
            session.output.line("")?;
        }
        describe(detail, &moment).print(&session.output)?;
        if !detail.executions.is_empty() {
            session.output.line("")?;
            let oldest_first: Vec<ExecutionView> =
                detail.executions.iter().rev().cloned().collect();
            print_executions(session, &oldest_first, &ATTEMPT_COLUMNS, &moment)?;
        }
    }
    Ok(())
}

/// What is shown of each execution.
const ATTEMPT_COLUMNS: [&str; 10] =
    ["ID", "TRY", "STATE", "WORKER", "TIME", "END", "CPU", "MEMORY", "OUT", "ERR"];

fn describe(detail: &TaskDetail, moment: &Moment) -> Details {
    let task = &detail.task;
    let date = |time| format::date(time, &moment.zone);
    let mut lines = Details::default();
    lines
        .add("task", task.id)
        .maybe("name", task.name.as_deref())
        .painted("state", state_sentence(task, moment.now), task_paint(task.state))
        .maybe("held by", held_by(task.hold))
        .maybe("reason", task.failure_reason.as_deref())
        .maybe("why", detail.why.as_deref())
        .maybe("moved", detail.transfer.map(format::transfer))
        .add("batch", &task.batch)
        .maybe("worker", task.worker_name.as_deref())
        .add("command", &task.command);
    add_spec(&mut lines, &detail.spec);
    if task.priority != 0 {
        lines.add("priority", task.priority);
    }
    if let Some(retry) = detail.spec.retry.filter(|retry| *retry > 0) {
        lines.add("retries", format_args!("{} of {retry} left", detail.retries_left));
    }
    lines
        .maybe("after", related(&detail.requirements))
        .maybe("required by", related(&detail.dependents))
        .add("queued", format_args!("{} by {}", date(task.created_at), task.created_by))
        .maybe("started", task.started_at.map(date))
        .maybe("ended", task.finished_at.map(date))
        .maybe("reused", detail.executions.first().and_then(reused))
        .maybe("edited", (task.revision > 0).then(|| times(task.revision)));
    if let Some(latest) = detail.executions.first() {
        lines.maybe("phases", phases(task.created_at, latest, moment.now));
    }
    lines
}

/// Whose outputs were taken over.
fn reused(execution: &ExecutionView) -> Option<String> {
    let reused = execution.outcome.as_ref()?.reused?;
    Some(format!("the outputs of task {}, execution {}", reused.task, reused.execution))
}

fn held_by(hold: Hold) -> Option<&'static str> {
    match hold {
        Hold::No => None,
        Hold::Person => Some("a person"),
        Hold::Batch => Some("its batch, which is paused"),
    }
}

fn times(count: u32) -> String {
    format::counted(count.into(), "time", "times")
}

/// How long each phase of an execution took, or takes: until it was assigned
/// (from the queueing on, for the first), accepted, fetched, run, and sent.
fn phases(queued: Timestamp, execution: &ExecutionView, now: Timestamp) -> Option<String> {
    let from = (execution.attempt == 1).then_some(queued);
    let moments = [
        ("queued", from, Some(execution.assigned_at)),
        ("taken", Some(execution.assigned_at), execution.accepted_at),
        ("fetching and waiting for a slot", execution.accepted_at, execution.started_at),
        ("running", execution.started_at, execution.ended_at),
        ("sending", execution.ended_at, execution.finished_at),
    ];
    let mut shown = Vec::new();
    for (name, from, to) in moments {
        // A phase that has begun and not ended lasts until now, unless the
        // execution ended within it.
        let Some(from) = from else { continue };
        let until = to.or(execution.finished_at).unwrap_or(now);
        shown.push(format!("{name} {}", format::duration(until.seconds_since(from))));
        if to.is_none() {
            break;
        }
    }
    (!shown.is_empty()).then(|| shown.join(", "))
}

fn state_sentence(task: &TaskView, now: Timestamp) -> String {
    let mut sentence = task.state.to_string();
    if let Some(phase) = task.phase.filter(|phase| phase.to_string() != sentence) {
        sentence = format!("{sentence}, {phase}");
    }
    let ending = format::ending(task.exit_code, task.signal, task.failure);
    let time = format::duration(states::task_seconds(task, now));
    match (task.state.is_final(), task.started_at) {
        (false, _) => format!("{sentence} for {time}"),
        (true, Some(_)) if ending.is_empty() => format!("{sentence} after {time}"),
        (true, Some(_)) => format!("{sentence} after {time}, {ending}"),
        (true, None) if ending.is_empty() => sentence,
        (true, None) => format!("{sentence}, {ending}"),
    }
}

fn add_spec(lines: &mut Details, spec: &TaskSpec) {
    let limit = |seconds: Option<u32>| seconds.map(|seconds| format::duration(seconds.into()));
    lines
        .maybe("shell", spec.shell.as_deref())
        .maybe("container", spec.container.as_deref())
        .maybe("container options", spec.container_options.as_deref())
        .maybe("pull", spec.pull)
        .each("variables", spec.env.iter().map(|(name, value)| format!("{name}={value}")))
        .each("input", &spec.input)
        .each("resource", &spec.resource)
        .maybe("output", spec.output.as_deref())
        .maybe("cache", spec.use_cache.then_some("outputs may be taken over"))
        .maybe(
            "stdin",
            spec.stdin.as_ref().map(|stdin| format::bytes(stdin.as_bytes().len() as u64)),
        )
        .maybe("cpu", spec.cpu.map(|cores| format::counted(cores.into(), "core", "cores")))
        .maybe("memory", spec.memory.map(format::bytes))
        .maybe("user", spec.uid)
        .maybe("group", spec.gid)
        .maybe("download limit", limit(spec.download_timeout))
        .maybe("run limit", limit(spec.run_timeout))
        .maybe("upload limit", limit(spec.upload_timeout))
        .maybe("output limit", spec.output_limit.map(format::bytes))
        .each("tags", spec.tags.iter().map(|(name, value)| format!("{name}={value}")));
}

/// Other tasks with their states, or nothing.
fn related(tasks: &[RelatedTask]) -> Option<String> {
    let shown: Vec<String> = tasks.iter().map(describe_related).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}

fn describe_related(task: &RelatedTask) -> String {
    match task.until {
        Until::Success => format!("{} ({})", task.id, task.state),
        Until::End => format!("{} ({}, however it ends)", task.id, task.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(times: [Option<i64>; 4]) -> ExecutionView {
        let second = |time: Option<i64>| time.map(|time| Timestamp(time * 1_000_000));
        let value = serde_json::json!({
            "id": 1, "task": 1, "attempt": 1, "worker_name": "w", "state": "running",
            "assigned_at": Timestamp(2_000_000), "output": {"stdout": 0, "stderr": 0},
            "accepted_at": second(times[0]), "started_at": second(times[1]),
            "ended_at": second(times[2]), "finished_at": second(times[3]),
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn phases_are_told_as_far_as_they_have_come() {
        let told = |times| phases(Timestamp(0), &execution(times), Timestamp(100_000_000));
        assert_eq!(
            told([Some(3), Some(10), Some(30), Some(31)]).unwrap(),
            "queued 2.0 s, taken 1.0 s, fetching and waiting for a slot 7.0 s, running 20.0 s, \
             sending 1.0 s"
        );
        assert_eq!(
            told([Some(3), Some(10), None, None]).unwrap(),
            "queued 2.0 s, taken 1.0 s, fetching and waiting for a slot 7.0 s, running 1 min 30 s"
        );
        assert_eq!(
            told([Some(3), None, None, Some(9)]).unwrap(),
            "queued 2.0 s, taken 1.0 s, fetching and waiting for a slot 6.0 s"
        );
    }
}
