//! `scitq manage execution list`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::tz::TimeZone;

use crate::api::execution::{ExecutionView, ListExecutions};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::listing::{ListForm, Listing};
use crate::cli::manage::options::{ListOptions, page_size};
use crate::cli::manage::select::find_task_by_name;
use crate::cli::manage::states::{self, execution_paint};
use crate::cli::parse;
use crate::cli::session::Session;
use crate::cli::table::{Cell, Column, Fit, Header, elastic, number, optional, text};
use crate::clock::SystemClock;
use crate::domain::execution::{ExecutionState, Outcome};
use crate::domain::{Clock, TaskId, Timestamp, WorkerId};

/// List attempts at tasks, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage execution list --id 12
  scitq manage execution list --state failed --newest-first --limit 20")]
pub struct ListArgs {
    /// Only executions of this task
    #[arg(short, long, value_name = "TASK", value_parser = parse::id::<TaskId>, conflicts_with = "name")]
    id: Option<TaskId>,
    /// Only executions of the task of this name
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Only executions in these states, separated by commas
    #[arg(short = 'S', long, value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<ExecutionState>())]
    state: Vec<ExecutionState>,
    /// Only executions on this worker
    #[arg(short, long, value_name = "ID", value_parser = parse::id::<WorkerId>)]
    worker: Option<WorkerId>,
    /// List newest executions first
    #[arg(long)]
    newest_first: bool,
    /// List so many executions at most
    #[arg(short, long, value_name = "COUNT", value_parser = parse::count::<u64>)]
    limit: Option<u64>,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let task = match &args.name {
        Some(name) => Some(find_task_by_name(session, name).await?),
        None => args.id,
    };
    let mut query = ListExecutions {
        task,
        worker: args.worker,
        state: states::joined(&args.state),
        cursor: None,
        newest_first: args.newest_first,
        limit: None,
    };
    let is_wide = args.options.wide;
    let zone = TimeZone::system();
    let now = SystemClock.now().wall;
    let row = |execution: &ExecutionView| row(execution, now, is_wide.then_some(&zone));
    let form = args.options.form();
    let mut listing = Listing::new(&session.output, form, columns(is_wide), row);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        query.limit = Some(page_size(left));
        let page = session.client.list_executions(&query).await.map_err(|e| session.explain(e))?;
        listing.page(&page.executions)?;
        left = left.saturating_sub(page.executions.len() as u64);
        let Some(next) = page.next else { break };
        query.cursor = Some(next);
    }
    listing.finish()
}

/// The attempts at one task, as part of what is shown of it.
pub fn print_attempts(
    session: &Session,
    executions: &[ExecutionView],
    now: Timestamp,
) -> Result<(), CliError> {
    let form = ListForm::Table { header: Header::Shown, fit: Fit::Terminal };
    let columns = columns(false);
    let mut listing = Listing::new(&session.output, form, columns, |e| row(e, now, None));
    listing.page(executions)?;
    listing.finish()
}

fn columns(is_wide: bool) -> Vec<Column> {
    let mut columns = vec![number("ID"), optional(number("TASK")), number("TRY"), text("STATE")];
    columns.extend([elastic("WORKER"), number("TIME"), text("END")]);
    columns.extend([
        optional(number("CPU")),
        optional(number("MEMORY")),
        number("OUT"),
        number("ERR"),
    ]);
    if is_wide {
        columns.extend([
            text("PHASE"),
            text("ASSIGNED"),
            text("STARTED"),
            text("ENDED"),
            text("REASON"),
        ]);
    }
    columns
}

fn row(execution: &ExecutionView, now: Timestamp, wide: Option<&TimeZone>) -> Vec<Cell> {
    let outcome = execution.outcome.as_ref();
    let usage = outcome.and_then(|outcome| outcome.usage);
    let cpu = usage.map(|usage| format::short_duration(usage.user_seconds + usage.system_seconds));
    let memory = usage.map(|usage| format::bytes(usage.peak_memory_bytes));
    let mut cells: Vec<Cell> = vec![
        execution.id.into(),
        execution.task.into(),
        execution.attempt.into(),
        Cell::painted(execution.state.to_string(), execution_paint(execution.state)),
        execution.worker_name.as_str().into(),
        run_time(execution, now).map(format::short_duration).unwrap_or_default().into(),
        outcome.map(ending).unwrap_or_default().into(),
        cpu.unwrap_or_default().into(),
        memory.unwrap_or_default().into(),
        format::bytes(execution.output.stdout).into(),
        format::bytes(execution.output.stderr).into(),
    ];
    if let Some(zone) = wide {
        let date = |time: Option<Timestamp>| time.map(|time| format::date(time, zone));
        let reason = outcome.and_then(|outcome| outcome.failure.as_ref());
        cells.extend([
            execution.phase.map(|phase| phase.to_string()).unwrap_or_default().into(),
            date(Some(execution.assigned_at)).unwrap_or_default().into(),
            date(execution.started_at).unwrap_or_default().into(),
            date(execution.ended_at.or(execution.finished_at)).unwrap_or_default().into(),
            reason.map(|failure| failure.reason.clone()).unwrap_or_default().into(),
        ]);
    }
    cells
}

/// Seconds that the command ran, so far or in all.
fn run_time(execution: &ExecutionView, now: Timestamp) -> Option<f64> {
    let started = execution.started_at?;
    let ended = execution.ended_at.or(execution.finished_at).unwrap_or(now);
    Some(ended.seconds_since(started))
}

fn ending(outcome: &Outcome) -> String {
    let class = outcome.failure.as_ref().map(|failure| failure.class);
    format::ending(outcome.exit_code, outcome.signal, class)
}
