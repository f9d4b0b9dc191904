//! `scitq manage task list`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::task::{ListTasks, TaskSort, TaskView};
use crate::cli::columns::{Field, Moment, unknown_column};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::batch::hint_of_unknown;
use crate::cli::manage::options::{ListOptions, page_size};
use crate::cli::manage::select::Filters;
use crate::cli::manage::states::{self, task_paint};
use crate::cli::parse::{Direction, Sorting};
use crate::cli::session::Session;
use crate::cli::table::{Cell, elastic, number, optional, text};
use crate::domain::Timestamp;
use crate::domain::task::Hold;

/// List tasks, oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task list --batch qc --state failed,running
  scitq manage task list --name 'align-*' --sort runtime:desc --limit 20
  scitq manage task list --columns id,name,reason --state failed
  scitq manage task list --json-lines | jq -r 'select(.exit_code == 1) | .id'

--sort takes id, name, batch, state, worker, priority, since, started and
runtime. In a name `*`, `?` and `[a-z]` stand for other characters.
A list of any length is printed as it comes, and cut only on a terminal.")]
pub struct ListArgs {
    #[command(flatten)]
    filters: Filters,
    /// Only tasks of this name, in which `*` stands for anything
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// List newest tasks first, as --sort id:desc does
    #[arg(long, conflicts_with = "sort")]
    newest_first: bool,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let (sort, direction) = match args.options.sorting() {
        Some(sorting) => (server_sort(sorting)?, sorting.direction),
        None => (TaskSort::Id, Direction::Ascending),
    };
    let mut listing = args.options.listing(&session.output, fields())?;
    let mut query = ListTasks {
        name: args.name,
        sort,
        reverse: args.newest_first || direction == Direction::Descending,
        ..args.filters.query(session, &[]).await?
    };
    let most = args.options.most();
    let mut left = most;
    while left > 0 {
        query.limit = Some(page_size(left));
        let page = session.client.list_tasks(&query).await.map_err(|e| session.explain(e))?;
        listing.page(&page.tasks)?;
        left = left.saturating_sub(page.tasks.len() as u64);
        let Some(next) = page.next else { break };
        query.cursor = Some(next);
    }
    listing.finish()?;
    if left == most
        && let Some(batch) = &query.batch
        && let Some(hint) = hint_of_unknown(session, batch).await
    {
        session.output.voice().warning(hint);
    }
    Ok(())
}

/// The order in which the server lists, by the name of a column.
fn server_sort(sorting: &Sorting) -> Result<TaskSort, CliError> {
    let name = match sorting.column.as_str() {
        // The title of the column that shows it.
        "time" => "runtime",
        // Ids grow with time.
        "created" => "id",
        other => other,
    };
    name.parse().map_err(|_| {
        let known: Vec<String> =
            <TaskSort as strum::IntoEnumIterator>::iter().map(|sort| sort.to_string()).collect();
        unknown_column("--sort", name, &known)
    })
}

/// The columns of a list of tasks.
fn fields() -> Vec<Field<TaskView>> {
    vec![
        Field::new(number("ID"), |task: &TaskView, _| task.id.into()),
        Field::new(text("STATE"), |task: &TaskView, _| {
            Cell::painted(task.state.to_string(), task_paint(task.state))
        }),
        Field::new(elastic("NAME"), |task: &TaskView, _| {
            task.name.as_deref().unwrap_or_default().into()
        }),
        Field::new(elastic("BATCH"), |task: &TaskView, _| task.batch.as_str().into()),
        Field::new(optional(elastic("WORKER")), |task: &TaskView, _| {
            task.worker_name.as_deref().unwrap_or_default().into()
        }),
        Field::new(number("TIME"), |task: &TaskView, moment| {
            format::short_duration(states::task_seconds(task, moment.now)).into()
        }),
        Field::new(text("END"), |task: &TaskView, _| {
            format::ending(task.exit_code, task.signal, task.failure).into()
        }),
        Field::new(text("PHASE"), |task: &TaskView, _| {
            task.phase.map(|phase| phase.to_string()).unwrap_or_default().into()
        })
        .wide(),
        Field::new(text("HOLD"), |task: &TaskView, _| match task.hold {
            Hold::No => "".into(),
            hold => hold.into(),
        })
        .wide(),
        Field::new(number("PRIORITY"), |task: &TaskView, _| task.priority.into()).wide(),
        Field::new(number("TRIES"), |task: &TaskView, _| task.attempts.into()).wide(),
        Field::new(text("CREATED"), |task: &TaskView, moment| {
            format::date(task.created_at, &moment.zone).into()
        })
        .wide(),
        Field::new(text("SINCE"), |task: &TaskView, moment| {
            format::date(task.state_since, &moment.zone).into()
        })
        .wide(),
        Field::new(text("STARTED"), |task: &TaskView, moment| date(task.started_at, moment))
            .on_request(),
        Field::new(text("ENDED"), |task: &TaskView, moment| date(task.finished_at, moment))
            .on_request(),
        Field::new(number("EXECUTION"), |task: &TaskView, _| {
            task.execution.map(|id| id.to_string()).unwrap_or_default().into()
        })
        .on_request(),
        Field::new(number("REVISION"), |task: &TaskView, _| task.revision.into()).on_request(),
        Field::new(text("BY"), |task: &TaskView, _| task.created_by.as_str().into()).wide(),
        Field::new(text("TAGS"), |task: &TaskView, _| format::pairs(&task.tags).into()).wide(),
        Field::new(text("REASON"), |task: &TaskView, _| {
            task.failure_reason.as_deref().unwrap_or_default().into()
        })
        .wide(),
        Field::new(elastic("COMMAND"), |task: &TaskView, _| task.command.as_str().into()),
    ]
}

/// What shows a few tasks before they are changed.
pub fn brief_fields() -> Vec<Field<TaskView>> {
    let shown = ["ID", "STATE", "NAME", "BATCH", "COMMAND"];
    fields().into_iter().filter(|field| shown.contains(&field.column().title())).collect()
}

fn date(time: Option<Timestamp>, moment: &Moment) -> Cell {
    time.map(|time| format::date(time, &moment.zone)).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::api::client::testing::{Script, ok};
    use crate::cli::output::Output;
    use crate::cli::testing::{Kept, session_printing, task};

    #[derive(Debug, Parser)]
    struct List {
        #[command(flatten)]
        args: ListArgs,
    }

    fn args(words: &[&str]) -> ListArgs {
        List::try_parse_from(["list"].iter().chain(words)).unwrap().args
    }

    #[tokio::test]
    async fn a_page_is_printed_before_the_next_one_is_asked_for() {
        const PAGES: u64 = 50;
        let kept = Kept::default();
        let seen = kept.clone();
        let server = Script::deciding(move |request| {
            let page: u64 = request
                .split_once("cursor=")
                .map_or(0, |(_, rest)| rest.split(['&', ' ']).next().unwrap().parse().unwrap());
            // All that was sent before has been printed, so nothing is held back.
            let lines = seen.text().lines().count() as u64;
            assert_eq!(lines, if page == 0 { 0 } else { page * 100 + 1 });
            let tasks: Vec<TaskView> = (1..=100).map(|id| task(page * 100 + id)).collect();
            let next = (page + 1 < PAGES).then(|| (page + 1).to_string());
            ok(serde_json::json!({ "tasks": tasks, "next": next }).to_string())
        })
        .await;
        let session = session_printing(&server, Output::into_sink(kept.clone()));
        cmd_list(&session, args(&[])).await.unwrap();
        assert_eq!(kept.text().lines().count() as u64, PAGES * 100 + 1);
    }

    #[tokio::test]
    async fn the_server_sorts_and_a_limit_asks_for_no_more() {
        let server = Script::deciding(|_| ok(r#"{"tasks":[],"next":null}"#)).await;
        let session = session_printing(&server, Output::into_sink(Kept::default()));
        let words = ["--sort", "time:desc", "--limit", "7", "--state", "failed", "--tag", "a=b"];
        cmd_list(&session, args(&words)).await.unwrap();
        let line = server.requests()[0].lines().next().unwrap().to_owned();
        assert_eq!(
            line,
            "GET /api/v2/tasks?state=failed&tag=a%3Db&sort=runtime&reverse=true&limit=7 HTTP/1.1"
        );
        let error = cmd_list(&session, args(&["--sort", "phase"])).await.unwrap_err();
        assert_eq!(error.to_string(), "--sort: there is no column `phase`");
    }
}
