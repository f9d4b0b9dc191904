//! `scitq manage task show`.

use clap::Args;
use jiff::tz::TimeZone;

use crate::api::execution::ExecutionView;
use crate::api::task::{RelatedTask, TaskDetail, TaskView};
use crate::cli::details::Details;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::execution::print_attempts;
use crate::cli::manage::options::print_json;
use crate::cli::manage::select::SomeTasks;
use crate::cli::manage::states::{self, task_paint};
use crate::cli::session::Session;
use crate::clock::SystemClock;
use crate::domain::task::TaskSpec;
use crate::domain::{Clock, Timestamp};

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
    let zone = TimeZone::system();
    let now = SystemClock.now().wall;
    for (position, detail) in tasks.iter().enumerate() {
        if position > 0 {
            session.output.line("")?;
        }
        describe(detail, now, &zone).print(&session.output)?;
        if !detail.executions.is_empty() {
            session.output.line("")?;
            print_attempts(session, &oldest_first(&detail.executions), now)?;
        }
    }
    Ok(())
}

fn oldest_first(executions: &[ExecutionView]) -> Vec<ExecutionView> {
    executions.iter().rev().cloned().collect()
}

fn describe(detail: &TaskDetail, now: Timestamp, zone: &TimeZone) -> Details {
    let task = &detail.task;
    let mut lines = Details::default();
    lines
        .add("task", task.id)
        .maybe("name", task.name.as_deref())
        .painted("state", state_sentence(task, now), task_paint(task.state))
        .maybe("reason", task.failure_reason.as_deref())
        .maybe("why", detail.why.as_deref())
        .add("batch", &task.batch)
        .maybe("worker", task.worker_name.as_deref())
        .add("command", &task.command);
    add_spec(&mut lines, &detail.spec);
    if let Some(retry) = detail.spec.retry.filter(|retry| *retry > 0) {
        lines.add("retries", format_args!("{} of {retry} left", detail.retries_left));
    }
    lines
        .maybe("after", related(&detail.requirements))
        .maybe("required by", related(&detail.dependents))
        .add(
            "queued",
            format_args!("{} by {}", format::date(task.created_at, zone), task.created_by),
        )
        .maybe("started", task.started_at.map(|time| format::date(time, zone)))
        .maybe("ended", task.finished_at.map(|time| format::date(time, zone)));
    lines
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
        .each("variables", spec.env.iter().map(|(name, value)| format!("{name}={value}")))
        .each("input", &spec.input)
        .each("resource", &spec.resource)
        .maybe("output", spec.output.as_deref())
        .maybe("user", spec.uid)
        .maybe("group", spec.gid)
        .maybe("download limit", limit(spec.download_timeout))
        .maybe("run limit", limit(spec.run_timeout));
}

/// Other tasks with their states, or nothing.
fn related(tasks: &[RelatedTask]) -> Option<String> {
    let shown: Vec<String> =
        tasks.iter().map(|task| format!("{} ({})", task.id, task.state)).collect();
    (!shown.is_empty()).then(|| shown.join(", "))
}
