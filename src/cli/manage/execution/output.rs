//! `scitq manage execution output`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::execution::ListExecutions;
use crate::cli::error::CliError;
use crate::cli::follow::{Extent, show_execution};
use crate::cli::manage::options::StreamOptions;
use crate::cli::manage::select::find_task_by_name;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::domain::{ExecutionId, TaskId};

/// Print what one execution wrote, byte for byte
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage execution output 31
  scitq manage execution output --follow --stderr 31
  scitq manage execution output --id 12 --number -1

The last one prints what the attempt before the latest one at task 12 wrote.")]
pub struct OutputArgs {
    #[command(flatten)]
    execution: OneExecution,
    /// Of the executions of the task: 0 for the latest, -1 for the one before, and so on
    #[arg(short = 'N', long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = back, conflicts_with_all = ["one", "execution"])]
    number: Option<u32>,
    #[command(flatten)]
    streams: StreamOptions,
    /// Go on until the execution has ended
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct OneExecution {
    /// The execution
    #[arg(value_name = "ID", value_parser = parse::id::<ExecutionId>)]
    one: Option<ExecutionId>,
    /// The execution, as an option
    #[arg(short = 'x', long, value_name = "ID", value_parser = parse::id::<ExecutionId>)]
    execution: Option<ExecutionId>,
    /// The latest execution of this task
    #[arg(short, long, value_name = "TASK", value_parser = parse::id::<TaskId>)]
    id: Option<TaskId>,
    /// The latest execution of the task of this name
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
}

pub async fn cmd_output(session: &Session, args: OutputArgs) -> Result<(), CliError> {
    let extent = if args.follow { Extent::ToTheEnd } else { Extent::SoFar };
    let id = args.execution.find(session, args.number.unwrap_or(0)).await?;
    show_execution(session, &session.client, id, args.streams.chosen(), extent).await
}

impl OneExecution {
    /// Its id; of a task's executions the one so many before the latest.
    async fn find(&self, session: &Session, number: u32) -> Result<ExecutionId, CliError> {
        if let Some(id) = self.one.or(self.execution) {
            return Ok(id);
        }
        let task = match (self.id, &self.name) {
            (Some(id), _) => id,
            (None, Some(name)) => find_task_by_name(session, name).await?,
            (None, None) => return Err(CliError::usage("no execution is named")),
        };
        let query = ListExecutions {
            task: Some(task),
            newest_first: true,
            limit: Some(number + 1),
            ..ListExecutions::default()
        };
        let page = session.client.list_executions(&query).await.map_err(|e| session.explain(e))?;
        let count = page.executions.len();
        let found = page.executions.into_iter().nth(number as usize);
        found.map(|execution| execution.id).ok_or_else(|| {
            CliError::refused(format!("task {task} has had {count} executions"))
                .hint(format!("`scitq manage execution list --id {task}` shows them"))
        })
    }
}

/// `0` or `-1`: how far back.
fn back(text: &str) -> Result<u32, String> {
    const MOST: u32 = 9_999;
    let number: i64 = text.parse().map_err(|_| "write 0, -1, -2 and so on".to_owned())?;
    let back = u32::try_from(-number).ok().filter(|back| *back <= MOST);
    back.ok_or_else(|| "write 0, -1, -2 and so on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_counted_back_from_the_latest() {
        assert_eq!((back("0"), back("-2")), (Ok(0), Ok(2)));
        assert!(back("1").is_err() && back("x").is_err() && back("-10000").is_err());
    }
}
