//! `/api/v2/tasks`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::error::{ErrorBody, ErrorCode};
use crate::api::task::{
    AwaitedTasks, ChangedTasks, CreateTasks, CreatedTasks, DeleteTasks, TaskDetail, TaskIds,
    WaitForTasks,
};
use crate::domain::TaskId;
use crate::domain::demand::Demand;
use crate::domain::task::{TaskSpec, TaskState, Until};
use crate::domain::uri::{Uri, UriError};
use crate::storage::{self, StorageError};

use super::super::engine::command::{Command, NewTask, Reply};
use super::super::engine::service::RequestKey;
use super::super::engine::state::Requirement;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::{Change, Id};
use super::task_story::{phases, why_waiting};

/// Longest wait for tasks, seconds.
const MAX_WAIT: u32 = 60;

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
    let tasks = value
        .tasks
        .into_iter()
        .enumerate()
        .map(|(position, spec)| prepare(position, spec))
        .collect::<ApiResult<Vec<NewTask>>>()?;
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
    for (id, state) in app.store.readers.task_states(ids.clone()).await? {
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

/// Run tasks again
///
/// A task that is under way is ended first.
#[utoipa::path(post, path = "/api/v2/tasks/relaunch", tag = "tasks", request_body = TaskIds,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn relaunch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<TaskIds>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::RelaunchTasks(value.ids), key).await
}

/// Cancel tasks
///
/// Those that wait end at once, those that run get SIGTERM and, after 10 s, SIGKILL.
#[utoipa::path(post, path = "/api/v2/tasks/cancel", tag = "tasks", request_body = TaskIds,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<TaskIds>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::CancelTasks(value.ids), key).await
}

/// Delete tasks with their executions and output
///
/// What runs is not ended; it goes when it has ended.
#[utoipa::path(post, path = "/api/v2/tasks/delete", tag = "tasks", request_body = DeleteTasks,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<DeleteTasks>,
) -> ApiResult<Json<ChangedTasks>> {
    let command = Command::DeleteTasks { tasks: value.ids, dependents: value.dependents };
    change(&app, &caller, command, key).await
}

async fn change(
    app: &App,
    caller: &Caller,
    command: Command,
    key: Option<RequestKey>,
) -> ApiResult<Json<ChangedTasks>> {
    match app.engine.apply(&caller.name, command, key).await? {
        Reply::Tasks(ids) => Ok(Json(ChangedTasks { ids })),
        other => Err(unexpected(&other)),
    }
}

/// Checks a spec and puts it into the form that is stored.
fn prepare(position: usize, spec: TaskSpec) -> ApiResult<NewTask> {
    let at = |problem: String| ApiError::invalid(format!("tasks[{position}]: {problem}"));
    spec.check().map_err(|error| at(error.to_string()))?;
    check_addresses(&spec).map_err(at)?;
    let text = serde_json::to_string(&spec).map_err(|error| at(error.to_string()))?;
    Ok(NewTask {
        demand: Demand::of(&spec),
        after: requirements(&spec),
        name: spec.name,
        batch: spec.batch,
        retry: spec.retry.unwrap_or(0),
        priority: spec.priority.unwrap_or(0),
        tags: spec.tags,
        after_batch: spec.after_batch,
        spec: text.into(),
    })
}

/// The tasks that a task names as required.
fn requirements(spec: &TaskSpec) -> Vec<Requirement> {
    let until = |until| move |task: &TaskId| Requirement { task: *task, until };
    let after = spec.after.iter().map(until(Until::Success));
    after.chain(spec.after_any.iter().map(until(Until::End))).collect()
}

/// Whether the data of a task is where some agent can get it.
fn check_addresses(spec: &TaskSpec) -> Result<(), String> {
    let check = |text: &String, check: fn(&Uri) -> Result<(), StorageError>| {
        let uri: Uri = text.parse().map_err(|error: UriError| error.to_string())?;
        check(&uri).map_err(|error| error.to_string())
    };
    spec.input.iter().try_for_each(|uri| check(uri, storage::check_input))?;
    spec.resource.iter().try_for_each(|uri| check(uri, storage::check_resource))?;
    spec.output.iter().try_for_each(|uri| check(uri, storage::check_output))
}

fn no_task(id: TaskId) -> ApiError {
    ApiError::not_found(format!("task {id} does not exist"))
}

pub(super) fn unexpected(reply: &Reply) -> ApiError {
    tracing::error!(?reply, "the engine gave an answer of another kind");
    ApiError::new(ErrorCode::Internal, "the server failed to carry out the request")
}
