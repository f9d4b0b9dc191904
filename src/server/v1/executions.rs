//! `/executions/`: lists, single executions, and those that a client asks for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, TaskId, WorkerId};

use super::super::engine::command::Command;
use super::super::http::App;
use super::super::store::{PlainExecution, PlainFilter};
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::filter::Filter;
use super::gate::Actor;
use super::print::{self, ExitCode, Texts};
use super::{output, routes, tasks};

const COLUMNS: &[&str] = &[
    "execution_id",
    "worker_id",
    "task_id",
    "status",
    "return_code",
    "pid",
    "creation_date",
    "modification_date",
    "output",
    "error",
    "output_files",
    "command",
    "latest",
    "batch",
    "task_name",
];

/// What is no condition.
const OPTIONS: &[&str] = &["limit", "reverse", "no_output", "trunc"];

/// Columns that the database looks up.
const LOOKED_UP: &[&str] =
    &["execution_id", "worker_id", "task_id", "status", "latest", "batch", "task_name"];

pub(super) async fn list(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> V1Result<Json<Vec<Map<String, Value>>>> {
    let filter = Filter::of(&fields, COLUMNS, OPTIONS)?;
    let limit = fields.count("limit")?;
    let no_output = fields.flag("no_output")?.unwrap_or(false);
    let truncated = fields.count("trunc")?;
    let checked_here = filter.has_more_than(LOOKED_UP)
        || ["worker_id", "task_name", "latest"].iter().any(|name| {
            filter.wanted(name).is_some_and(|wanted| wanted.len() != 1 || wanted[0].is_null())
        });
    let wanted = PlainFilter {
        tasks: filter.wanted_ids("task_id").map(|ids| ids.into_iter().map(TaskId).collect()),
        names: filter.wanted_texts("task_name"),
        batches: filter.wanted_texts("batch"),
        executions: filter
            .wanted_ids("execution_id")
            .map(|ids| ids.into_iter().map(ExecutionId).collect()),
        execution_states: filter
            .wanted_texts("status")
            .map(|words| words.iter().filter_map(|word| word.parse().ok()).collect()),
        workers: filter
            .wanted_ids("worker_id")
            .filter(|_| !checked_here)
            .map(|ids| ids.into_iter().map(WorkerId).collect()),
        latest: if checked_here { None } else { fields.flag("latest")? },
        newest_first: fields.flag("reverse")?.unwrap_or(false),
        limit: limit.filter(|_| !checked_here),
        ..PlainFilter::default()
    };
    let found = app.store.readers.plain_executions(wanted).await?;
    let mut printed = Vec::with_capacity(found.len());
    for execution in found {
        let (texts, exit_code) = if no_output {
            (Texts::default(), ExitCode::LeftOut)
        } else if let Some(length) = truncated {
            (output::tails(&app, &execution, length).await?, ExitCode::LeftOut)
        } else {
            (output::whole(&app, &execution).await?, ExitCode::Shown)
        };
        let fields = print::execution(&execution, &texts, exit_code);
        let mut seen = fields.clone();
        seen.insert("batch".to_owned(), json!(execution.batch.as_str()));
        seen.insert("task_name".to_owned(), json!(execution.spec.name));
        if filter.fits(&seen) {
            printed.push(fields);
        }
    }
    if let Some(limit) = limit {
        printed.truncate(limit as usize);
    }
    Ok(Json(printed))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let id = ExecutionId(routes::id(&parameters, "id")?);
    printed(&app, id).await.map(Json)
}

/// Gives a pending task to a worker that the client chose.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    fields: Fields,
) -> V1Result<(StatusCode, Json<Map<String, Value>>)> {
    let id = |name: &str| {
        let id = fields.integer(name)?.and_then(|id| u64::try_from(id).ok());
        id.ok_or_else(|| V1Error::invalid(format!("{name} is missing")))
    };
    let (task, worker) = (TaskId(id("task_id")?), WorkerId(id("worker_id")?));
    if let Some(status) = fields.text("status")?.filter(|status| status != "pending") {
        return Err(V1Error::invalid(format!(
            "a new execution is pending; it becomes {status} when its worker says so"
        )));
    }
    app.engine.apply(&actor, Command::AssignTask { task, worker }, None).await?;
    let execution = tasks::find(&app, task).await?.execution;
    let execution =
        execution.ok_or_else(|| V1Error::conflict(format!("task {task} has moved on")))?;
    Ok((StatusCode::CREATED, Json(printed(&app, execution).await?)))
}

/// Executions belong to their tasks, and go with them.
pub(super) async fn delete() -> V1Error {
    V1Error::conflict("an execution goes when its task is deleted")
}

pub(super) async fn printed(app: &App, id: ExecutionId) -> V1Result<Map<String, Value>> {
    let execution = find(app, id).await?;
    let texts = output::whole(app, &execution).await?;
    Ok(print::execution(&execution, &texts, ExitCode::Shown))
}

pub(super) async fn find(app: &App, id: ExecutionId) -> V1Result<PlainExecution> {
    let filter = PlainFilter { executions: Some(vec![id]), ..PlainFilter::default() };
    let found = app.store.readers.plain_executions(filter).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| V1Error::not_found(format!("Execution {id} doesn't exist")))
}

/// The form of an execution in a worker's own list.
pub(super) fn short(execution: &PlainExecution) -> Map<String, Value> {
    let mut fields = print::execution(execution, &Texts::default(), ExitCode::LeftOut);
    fields.retain(|name, _| {
        !matches!(name.as_str(), "worker_id" | "return_code" | "output" | "error" | "freeze")
    });
    fields.insert("batch".to_owned(), json!(execution.batch.as_str()));
    fields
}

/// The two streams, in the order in which they are told.
pub(super) const STREAMS: [(Stream, &str); 2] =
    [(Stream::Stdout, "output"), (Stream::Stderr, "error")];
