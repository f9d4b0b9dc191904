//! What an old worker asks for every four seconds.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use serde_json::{Map, Value, json};

use crate::domain::execution::ExecutionState;
use crate::domain::task::TaskState;
use crate::domain::{ExecutionId, WorkerId};

use super::super::http::App;
use super::super::store::{Deleted, PlainFilter};
use super::body::Fields;
use super::error::V1Result;
use super::gate::Actor;
use super::session::{self, Live};
use super::{executions, routes, stats, workers};

pub(super) async fn ping(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Map<String, Value>>> {
    let id = WorkerId(routes::id(&parameters, "id")?);
    let stats = stats::of_ping(&fields)?;
    session::heartbeat(&app, &actor, id, stats).await?;
    workers::find(&app, id).await.map(Json)
}

/// A worker that has been idle for long says so. It is kept: whoever started it
/// ends it.
pub(super) async fn callback(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Value>> {
    let id = WorkerId(routes::id(&parameters, "id")?);
    workers::find(&app, id).await?;
    let is_idle = fields.text("message")?.as_deref() == Some("idle");
    Ok(Json(json!({"result": if is_idle { "ok" } else { "nothing to do" }})))
}

/// Signals that were not told yet. Each is told once.
pub(super) async fn signals(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
) -> V1Result<Json<Vec<Value>>> {
    let worker = WorkerId(routes::id(&parameters, "id")?);
    let found = session::served(&app)?.sessions.find(worker);
    let letters =
        found.map(|session| session.collect(app.clock.now().monotonic)).unwrap_or_default();
    let print = |letter: session::Letter| {
        json!({
            "execution_id": letter.execution,
            "worker_id": worker,
            "signal": letter.signal,
        })
    };
    Ok(Json(letters.into_iter().map(print).collect()))
}

/// What the worker is to have: it ends whatever it runs and does not find here.
pub(super) async fn active(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
) -> V1Result<Json<Vec<Map<String, Value>>>> {
    let worker = WorkerId(routes::id(&parameters, "id")?);
    let states = [ExecutionState::Accepted, ExecutionState::Running];
    held(&app, worker, states.to_vec()).await.map(Json)
}

pub(super) async fn in_status(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
) -> V1Result<Json<Vec<Map<String, Value>>>> {
    let worker = WorkerId(routes::id(&parameters, "id")?);
    let Ok(state) = routes::text(&parameters, "status")?.parse::<ExecutionState>() else {
        return Ok(Json(Vec::new()));
    };
    if !state.is_final() {
        return held(&app, worker, vec![state]).await.map(Json);
    }
    let filter = PlainFilter {
        workers: Some(vec![worker]),
        execution_states: Some(vec![state]),
        ..PlainFilter::default()
    };
    let found = app.store.readers.plain_executions(filter).await?;
    let ids = found.iter().map(|execution| execution.row.task).collect();
    let tasks = app.store.readers.task_states(ids).await?;
    let print = |execution: &_| {
        let mut fields = executions::short(execution);
        let state = tasks.get(&execution.row.task).copied();
        fields.insert("taskstatus".to_owned(), json!(state.map(<&str>::from)));
        fields
    };
    Ok(Json(found.iter().map(print).collect()))
}

/// Executions of a worker that have not ended, as the engine has them at this moment.
async fn held(
    app: &App,
    worker: WorkerId,
    states: Vec<ExecutionState>,
) -> V1Result<Vec<Map<String, Value>>> {
    let mut live = app
        .engine
        .query(move |state| {
            let worker = state.workers.get(&worker);
            let held = worker.into_iter().flat_map(|worker| worker.executions.iter());
            let found = held.filter_map(|id| Some((*id, session::live_in(state, *id)?)));
            found
                .filter(|(_, live)| states.contains(&live.state))
                .collect::<Vec<(ExecutionId, Live)>>()
        })
        .await?;
    live.sort_unstable_by_key(|(id, _)| *id);
    if live.is_empty() {
        return Ok(Vec::new());
    }
    let filter = PlainFilter {
        executions: Some(live.iter().map(|(id, _)| *id).collect()),
        // A worker goes on with what was deleted, and nobody sees it.
        deleted: Deleted::Found,
        ..PlainFilter::default()
    };
    let rows = app.store.readers.plain_executions(filter).await?;
    let mut printed = Vec::with_capacity(live.len());
    for (id, live) in live {
        let Some(row) = rows.iter().find(|row| row.id == id) else { continue };
        let mut fields = executions::short(row);
        fields.insert("status".to_owned(), json!(<&str>::from(live.state)));
        let task = if live.suspended { "paused" } else { <&str>::from(task_state(live.state)) };
        fields.insert("taskstatus".to_owned(), json!(task));
        printed.push(fields);
    }
    Ok(printed)
}

const fn task_state(execution: ExecutionState) -> TaskState {
    match execution {
        ExecutionState::Accepted => TaskState::Accepted,
        ExecutionState::Running => TaskState::Running,
        _ => TaskState::Assigned,
    }
}
