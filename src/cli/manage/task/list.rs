//! `scitq manage task list`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::tz::TimeZone;

use crate::api::task::{ListTasks, TaskView};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::listing::Listing;
use crate::cli::manage::options::{ListOptions, page_size};
use crate::cli::manage::states::{self, task_paint};
use crate::cli::parse;
use crate::cli::session::Session;
use crate::cli::table::{Cell, Column, elastic, number, optional, text};
use crate::clock::SystemClock;
use crate::domain::task::TaskState;
use crate::domain::{BatchName, Clock, Timestamp, WorkerId};

/// List tasks, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task list --batch qc --state failed,running
  scitq manage task list --newest-first --limit 20
  scitq manage task list --json-lines | jq -r 'select(.exit_code == 1) | .id'")]
pub struct ListArgs {
    /// Only tasks in these states, separated by commas
    #[arg(short = 'S', long, value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<TaskState>())]
    state: Vec<TaskState>,
    /// Only tasks of this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Only tasks of this name
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Only tasks whose latest execution is on this worker
    #[arg(short, long, value_name = "ID", value_parser = parse::id::<WorkerId>)]
    worker: Option<WorkerId>,
    /// List newest tasks first
    #[arg(long)]
    newest_first: bool,
    /// List so many tasks at most
    #[arg(short, long, value_name = "COUNT", value_parser = parse::count::<u64>)]
    limit: Option<u64>,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let mut query = ListTasks {
        state: states::joined(&args.state),
        batch: args.batch,
        name: args.name,
        worker: args.worker,
        reverse: args.newest_first,
        ..ListTasks::default()
    };
    let zone = TimeZone::system();
    let is_wide = args.options.wide;
    let now = SystemClock.now().wall;
    let row = |task: &TaskView| if is_wide { wide_row(task, now, &zone) } else { row(task, now) };
    let form = args.options.form();
    let mut listing = Listing::new(&session.output, form, columns(is_wide), row);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        query.limit = Some(page_size(left));
        let page = session.client.list_tasks(&query).await.map_err(|e| session.explain(e))?;
        listing.page(&page.tasks)?;
        left = left.saturating_sub(page.tasks.len() as u64);
        let Some(next) = page.next else { break };
        query.cursor = Some(next);
    }
    listing.finish()
}

fn columns(is_wide: bool) -> Vec<Column> {
    let mut columns = vec![number("ID"), text("STATE"), elastic("NAME"), elastic("BATCH")];
    columns.extend([optional(elastic("WORKER")), number("TIME"), text("END")]);
    if is_wide {
        columns.extend([
            text("PHASE"),
            number("TRIES"),
            text("CREATED"),
            text("SINCE"),
            text("BY"),
        ]);
        columns.push(text("REASON"));
    }
    columns.push(elastic("COMMAND"));
    columns
}

fn row(task: &TaskView, now: Timestamp) -> Vec<Cell> {
    vec![
        task.id.into(),
        Cell::painted(task.state.to_string(), task_paint(task.state)),
        task.name.as_deref().unwrap_or_default().into(),
        task.batch.as_str().into(),
        task.worker_name.as_deref().unwrap_or_default().into(),
        format::short_duration(states::task_seconds(task, now)).into(),
        format::ending(task.exit_code, task.signal, task.failure).into(),
        task.command.as_str().into(),
    ]
}

fn wide_row(task: &TaskView, now: Timestamp, zone: &TimeZone) -> Vec<Cell> {
    let mut cells = row(task, now);
    let command = cells.pop();
    cells.extend([
        task.phase.map(|phase| phase.to_string()).unwrap_or_default().into(),
        task.attempts.into(),
        format::date(task.created_at, zone).into(),
        format::date(task.state_since, zone).into(),
        task.created_by.as_str().into(),
        task.failure_reason.as_deref().unwrap_or_default().into(),
    ]);
    cells.extend(command);
    cells
}
