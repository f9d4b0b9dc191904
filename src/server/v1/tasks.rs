//! `/tasks/`: lists, single tasks, states as numbers, new tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::TaskId;
use crate::domain::task::{Hold, TaskState};

use super::super::engine::command::{Command, Reply};
use super::super::http::App;
use super::super::http::specs;
use super::super::store::{PlainFilter, PlainTask};
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::filter::Filter;
use super::gate::Actor;
use super::print::{self, DEBUG_TAG, TASK_COLUMNS};
use super::{routes, task_spec};

/// How a task comes into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It runs when its turn comes.
    Ready,
    Held,
    /// Held, until a workflow wants this step.
    Debug,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> V1Result<Json<Vec<Map<String, Value>>>> {
    let filter = Filter::of(&fields, TASK_COLUMNS, &[])?;
    let wanted = PlainFilter {
        tasks: filter.wanted_ids("task_id").map(|ids| ids.into_iter().map(TaskId).collect()),
        names: filter.wanted_texts("name"),
        batches: filter.wanted_texts("batch"),
        task_states: filter.wanted_texts("status").map(states),
        ..PlainFilter::default()
    };
    let found = app.store.readers.plain_tasks(wanted).await?;
    let printed = tokio::task::spawn_blocking(move || {
        found.iter().map(print::task).filter(|task| filter.fits(task)).collect()
    });
    printed.await.map(Json).map_err(|_| V1Error::HangUp)
}

/// The numbers of states, in the order that was asked for.
pub(super) async fn status(State(app): State<Arc<App>>, fields: Fields) -> V1Result<Json<Vec<u8>>> {
    let ids = fields
        .integers("task_id")?
        .ok_or_else(|| V1Error::invalid("task_id is missing, a list of ids"))?;
    let ids: Vec<TaskId> =
        ids.into_iter().map(|id| TaskId(u64::try_from(id).unwrap_or(0))).collect();
    let states = app.store.readers.task_states(ids.clone()).await?;
    let number = |id: &TaskId| {
        let state = states.get(id).copied();
        state
            .map(print::status_number)
            .ok_or_else(|| V1Error::not_found(format!("Task {id} doesn't exist")))
    };
    ids.iter().map(number).collect::<V1Result<Vec<u8>>>().map(Json)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let id = TaskId(routes::id(&parameters, "id")?);
    Ok(Json(print::task(&find(&app, id).await?)))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    fields: Fields,
) -> V1Result<(StatusCode, Json<Map<String, Value>>)> {
    let mut spec = task_spec::new(&fields)?;
    let start = start(fields.text("status")?.as_deref())?;
    if start == Start::Debug {
        spec.tags.insert(DEBUG_TAG.to_owned(), String::new());
    }
    let mut tasks = specs::prepare_all(&app, vec![spec]).await?;
    if start != Start::Ready {
        for task in &mut tasks {
            task.hold = Hold::Person;
        }
    }
    match app.engine.apply(&actor, Command::CreateTasks(tasks), None).await? {
        Reply::Created { first, .. } => {
            let task = print::task(&find(&app, first).await?);
            Ok((StatusCode::CREATED, Json(task)))
        }
        other => Err(unexpected(&other)),
    }
}

/// The original never told anything here; nobody asks.
pub(super) async fn requirements() -> Json<Value> {
    Json(json!({"requirement_id": null, "task_id": null, "other_task_id": null}))
}

pub(super) async fn find(app: &App, id: TaskId) -> V1Result<PlainTask> {
    let filter = PlainFilter { tasks: Some(vec![id]), ..PlainFilter::default() };
    let found = app.store.readers.plain_tasks(filter).await?;
    found.into_iter().next().ok_or_else(|| V1Error::not_found(format!("Task {id} doesn't exist")))
}

pub(super) fn unexpected(reply: &Reply) -> V1Error {
    tracing::error!(?reply, "the engine gave an answer of another kind");
    V1Error::HangUp
}

fn start(status: Option<&str>) -> V1Result<Start> {
    match status {
        // Whether a task waits follows from what it requires.
        None | Some("pending" | "waiting") => Ok(Start::Ready),
        Some("paused") => Ok(Start::Held),
        Some("debug") => Ok(Start::Debug),
        Some(other) => Err(V1Error::invalid(format!(
            "Status {other} is not possible for a new task (only paused waiting pending debug)"
        ))),
    }
}

/// The states that have these words. One more than we have is a paused one.
fn states(words: Vec<String>) -> Vec<TaskState> {
    let state = |word: String| match word.as_str() {
        "debug" => Some(TaskState::Paused),
        word => word.parse().ok(),
    };
    words.into_iter().filter_map(state).collect()
}
