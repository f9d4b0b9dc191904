//! `scitq manage task prune`.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::dependents::DependentsOptions;
use crate::api::task::{DeleteTasks, TaskIds};
use crate::cli::error::CliError;
use crate::cli::manage::change::{Asks, Change, ChangeOptions, change_tasks};
use crate::cli::manage::select::{Filters, TaskSelection};
use crate::cli::manage::states;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::task::TaskState;

/// Delete tasks that ended long ago, with their output
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task prune --older-than 30d --dry-run
  scitq manage task prune --older-than 7d --state succeeded --batch qc --yes

A task that another one still waits for is left, unless --cascade or --detach
says what becomes of that one.")]
pub struct PruneArgs {
    /// Tasks that ended longer ago: 90s, 15m, 2h, 30d
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    older_than: Duration,
    /// Only tasks in these states [default: succeeded,failed]
    #[arg(short = 'S', long, alias = "status", value_name = "STATE", value_delimiter = ',', value_parser = ended)]
    state: Vec<TaskState>,
    /// Only tasks of this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Only tasks of this name, in which `*` stands for anything; repeatable
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Vec<String>,
    /// Only tasks with this tag, of whatever value where none is given
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = NonEmptyStringValueParser::new())]
    tag: Option<String>,
    #[command(flatten)]
    dependents: DependentsOptions,
    #[command(flatten)]
    options: ChangeOptions,
}

/// Those that have ended.
const STATES: [TaskState; 2] = [TaskState::Succeeded, TaskState::Failed];

pub async fn cmd_prune(session: &Session, args: PruneArgs) -> Result<(), CliError> {
    let filters = Filters {
        batch: args.batch,
        state: args.state,
        tag: args.tag,
        older_than: Some(args.older_than),
        ..Filters::default()
    };
    let tasks = TaskSelection::of(Vec::new(), Vec::new(), args.name, filters);
    let dependents = args.dependents.chosen();
    let change = Change {
        verb: "delete",
        done: "deleted",
        with: args.dependents.addition(),
        asks: Asks::Always,
        states: &STATES,
    };
    let send = async |tasks: TaskIds| {
        let TaskIds { ids, unfit } = tasks;
        session.client.delete_tasks(&DeleteTasks { ids, dependents, unfit }).await
    };
    change_tasks(session, &tasks, args.options, &change, send).await
}

fn ended(text: &str) -> Result<TaskState, String> {
    match text.parse::<TaskState>() {
        Ok(state) if state.is_final() => Ok(state),
        _ => Err(format!(
            "a task that has ended is {}",
            states::joined(&STATES).unwrap_or_default().replace(',', " or ")
        )),
    }
}
