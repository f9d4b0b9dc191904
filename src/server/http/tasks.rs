//! `/api/v2/tasks`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::error::{ErrorBody, ErrorCode};
use crate::api::task::{AwaitedTasks, CreateTasks, CreatedTasks, TaskDetail, WaitForTasks};
use crate::domain::TaskId;
use crate::domain::task::TaskState;

use super::super::engine::command::{Command, Reply};
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::{Change, Id};
use super::task_story::{phases, why_waiting};
use super::{App, specs};

/// Longest wait for tasks, seconds.
pub(super) const MAX_WAIT: u32 = 60;

/// Queue tasks
///
/// All of them, or none. Ids come in the order of the request.
#[utoipa::path(post, path = "/api/v2/tasks", tag = "tasks", request_body = CreateTasks,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 201, body = CreatedTasks), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<CreateTasks>,
) -> ApiResult<(StatusCode, Json<CreatedTasks>)> {
    let tasks = specs::prepare_all(&app, value.tasks).await?;
    let command = Command::CreateTasks(tasks);
    match app.engine.apply(&caller.name, command, key).await? {
        Reply::Created { first, count } => {
            let ids = (first.0..first.0 + count).map(TaskId).collect();
            Ok((StatusCode::CREATED, Json(CreatedTasks { ids })))
        }
        other => Err(unexpected(&other)),
    }
}

/// Show one task with all that is known of it
#[utoipa::path(get, path = "/api/v2/tasks/{id}", tag = "tasks", params(("id" = TaskId, Path)),
    responses((status = 200, body = TaskDetail), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id<TaskId>,
) -> ApiResult<Json<TaskDetail>> {
    let whole = app.store.readers.find_task(id).await?.ok_or_else(|| no_task(id))?;
    let live = app.engine.query(move |state| state.live_task(id)).await?;
    let mut task = whole.view;
    let mut executions = whole.executions;
    if task.state.may_be_active() {
        task.phase = live.phase;
        if let Some(latest) = executions.first_mut() {
            latest.phase = live.phase;
        }
    }
    for execution in &mut executions {
        if !execution.state.is_final() {
            execution.output = app.output.sizes(execution.id).await?;
        }
    }
    let why = if task.state == TaskState::Waiting {
        why_waiting(&whole.requirements, &whole.deleted_requirements)
    } else {
        live.why
    };
    let phases = phases(&task, whole.pending_since, &whole.requirements, &executions);
    Ok(Json(TaskDetail {
        task,
        spec: whole.spec,
        retries_left: whole.retries_left,
        requirements: whole.requirements,
        dependents: whole.dependents,
        executions,
        phases,
        why,
        transfer: live.transfer,
    }))
}

/// Wait for tasks to end
#[utoipa::path(post, path = "/api/v2/tasks/wait", tag = "tasks", request_body = WaitForTasks,
    responses((status = 200, body = AwaitedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn wait(
    State(app): State<Arc<App>>,
    Change { value, .. }: Change<WaitForTasks>,
) -> ApiResult<Json<AwaitedTasks>> {
    let WaitForTasks { ids, timeout_seconds } = value;
    if timeout_seconds > MAX_WAIT {
        return Err(ApiError::invalid(format!(
            "timeout_seconds {timeout_seconds} is more than {MAX_WAIT}"
        )));
    }
    let wait = app.waits.register(ids.clone());
    let present = app.store.readers.task_states(ids.clone()).await?;
    // Nothing will ever end a task that is not there.
    if let Some(missing) = ids.iter().find(|id| !present.contains_key(id)) {
        return Err(no_task(*missing));
    }
    for (id, state) in present {
        if state.is_final() {
            wait.settle(id);
        }
    }
    tokio::select! {
        () = wait.done() => {}
        () = tokio::time::sleep(Duration::from_secs(timeout_seconds.into())) => {}
        () = app.stop_asked() => {}
    }
    drop(wait);
    let found = app.store.readers.task_states(ids.clone()).await?;
    if let Some(missing) = ids.iter().find(|id| !found.contains_key(id)) {
        return Err(no_task(*missing));
    }
    let mut states: BTreeMap<TaskState, u64> = BTreeMap::new();
    for state in found.values() {
        *states.entry(*state).or_default() += 1;
    }
    let task = match ids.as_slice() {
        [id] => app.store.readers.find_task_view(*id).await?,
        _ => None,
    };
    Ok(Json(AwaitedTasks { done: states.keys().all(|state| state.is_final()), states, task }))
}

fn no_task(id: TaskId) -> ApiError {
    ApiError::not_found(format!("task {id} does not exist"))
}

pub(super) fn unexpected(reply: &Reply) -> ApiError {
    tracing::error!(?reply, "the engine gave an answer of another kind");
    ApiError::new(ErrorCode::Internal, "the server failed to carry out the request")
}
