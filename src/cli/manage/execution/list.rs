//! `scitq manage execution list`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::execution::{ExecutionView, ListExecutions};
use crate::cli::columns::{Field, Moment, unknown_column};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::listing::{ListForm, Listing};
use crate::cli::manage::options::{ListOptions, page_size};
use crate::cli::manage::select::find_task_by_name;
use crate::cli::manage::states::{self, execution_paint};
use crate::cli::manage::worker::{WorkerRef, find_worker};
use crate::cli::parse::{self, Direction};
use crate::cli::session::Session;
use crate::cli::table::{Cell, Fit, Header, elastic, number, optional, text};
use crate::domain::execution::{ExecutionState, Outcome};
use crate::domain::{TaskId, Timestamp};

/// List attempts at tasks, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage execution list --id 12
  scitq manage execution list --state failed --newest-first --limit 20
  scitq manage execution list --worker node7 --columns id,task,reason

--sort takes id only.")]
pub struct ListArgs {
    /// Only executions of this task
    #[arg(short, long, value_name = "TASK", value_parser = parse::id::<TaskId>, conflicts_with = "name")]
    id: Option<TaskId>,
    /// Only executions of the task of this name
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Only executions in these states, separated by commas
    #[arg(short = 'S', long, alias = "status", value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<ExecutionState>())]
    state: Vec<ExecutionState>,
    /// Only executions on this worker
    #[arg(short, long)]
    worker: Option<WorkerRef>,
    /// List newest executions first, as --sort id:desc does
    #[arg(long, conflicts_with = "sort")]
    newest_first: bool,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let is_descending = match args.options.sorting() {
        None => args.newest_first,
        Some(sorting) if sorting.column == "id" => sorting.direction == Direction::Descending,
        Some(sorting) => {
            return Err(unknown_column("--sort", &sorting.column, &["id".to_owned()]));
        }
    };
    let mut listing = args.options.listing(&session.output, fields())?;
    let task = match &args.name {
        Some(name) => Some(find_task_by_name(session, name).await?),
        None => args.id,
    };
    let worker = match &args.worker {
        Some(worker) => Some(find_worker(session, worker).await?),
        None => None,
    };
    let mut query = ListExecutions {
        task,
        worker,
        state: states::joined(&args.state),
        cursor: None,
        newest_first: is_descending,
        limit: None,
    };
    let mut left = args.options.most();
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

/// Executions as part of what is shown of something else, with these columns.
pub fn print_executions(
    session: &Session,
    executions: &[ExecutionView],
    titles: &[&str],
    moment: &Moment,
) -> Result<(), CliError> {
    let form = ListForm::Table { header: Header::Shown, fit: Fit::Terminal };
    let mut fields = fields();
    fields.retain(|field| titles.contains(&field.column().title()));
    let columns = fields.iter().map(Field::column).collect();
    let row = |item: &ExecutionView| fields.iter().map(|field| field.cell(item, moment)).collect();
    let mut listing = Listing::new(&session.output, form, columns, row);
    listing.page(executions)?;
    listing.finish()
}

fn fields() -> Vec<Field<ExecutionView>> {
    let mut fields = usual_fields();
    fields.extend([
        Field::new(text("PHASE"), |execution: &ExecutionView, _: &Moment| {
            execution.phase.map(|phase| phase.to_string()).unwrap_or_default().into()
        })
        .wide(),
        Field::new(text("ASSIGNED"), |execution: &ExecutionView, moment| {
            date(Some(execution.assigned_at), moment)
        })
        .wide(),
        Field::new(text("ACCEPTED"), |execution: &ExecutionView, moment| {
            date(execution.accepted_at, moment)
        })
        .on_request(),
        Field::new(text("STARTED"), |execution: &ExecutionView, moment| {
            date(execution.started_at, moment)
        })
        .wide(),
        Field::new(text("ENDED"), |execution: &ExecutionView, moment| {
            date(execution.ended_at.or(execution.finished_at), moment)
        })
        .wide(),
        Field::new(text("REASON"), |execution: &ExecutionView, _| {
            let outcome = execution.outcome.as_ref();
            let failure = outcome.and_then(|outcome| outcome.failure.as_ref());
            failure.map(|failure| failure.reason.clone()).unwrap_or_default().into()
        })
        .wide(),
    ]);
    fields
}

fn usual_fields() -> Vec<Field<ExecutionView>> {
    vec![
        Field::new(number("ID"), |execution: &ExecutionView, _: &Moment| execution.id.into()),
        Field::new(optional(number("TASK")), |execution: &ExecutionView, _| execution.task.into()),
        Field::new(number("TRY"), |execution: &ExecutionView, _| execution.attempt.into()),
        Field::new(text("STATE"), |execution: &ExecutionView, _| {
            Cell::painted(execution.state.to_string(), execution_paint(execution.state))
        }),
        Field::new(elastic("WORKER"), |execution: &ExecutionView, _| {
            execution.worker_name.as_str().into()
        }),
        Field::new(number("TIME"), |execution: &ExecutionView, moment| {
            run_time(execution, moment.now).map(format::short_duration).unwrap_or_default().into()
        }),
        Field::new(text("END"), |execution: &ExecutionView, _| {
            execution.outcome.as_ref().map(ending).unwrap_or_default().into()
        }),
        Field::new(optional(number("CPU")), |execution: &ExecutionView, _| {
            let usage = execution.outcome.as_ref().and_then(|outcome| outcome.usage);
            let seconds = usage.map(|usage| usage.user_seconds + usage.system_seconds);
            seconds.map(format::short_duration).unwrap_or_default().into()
        }),
        Field::new(optional(number("MEMORY")), |execution: &ExecutionView, _| {
            let usage = execution.outcome.as_ref().and_then(|outcome| outcome.usage);
            let memory = usage.map(|usage| format::bytes(usage.peak_memory_bytes));
            memory.unwrap_or_default().into()
        }),
        Field::new(number("OUT"), |execution: &ExecutionView, _| {
            format::bytes(execution.output.stdout).into()
        }),
        Field::new(number("ERR"), |execution: &ExecutionView, _| {
            format::bytes(execution.output.stderr).into()
        }),
    ]
}

fn date(time: Option<Timestamp>, moment: &Moment) -> Cell {
    time.map(|time| format::date(time, &moment.zone)).unwrap_or_default().into()
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
