//! `POST /api/v2/tasks/…`: what people do to tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::error::ErrorBody;
use crate::api::task::{ChangedTasks, DeleteTasks, EditTasks, MoveTasks, SignalTasks, TaskIds};

use super::super::engine::command::{Command, Reply, TaskEdit};
use super::super::engine::service::RequestKey;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::Change;
use super::specs;
use super::tasks::unexpected;

/// Run tasks again
///
/// A task that is under way is ended first. Retries and losses start anew.
#[utoipa::path(post, path = "/api/v2/tasks/relaunch", tag = "tasks", request_body = TaskIds,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn relaunch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: TaskIds { ids, unfit }, key }: Change<TaskIds>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::RelaunchTasks { tasks: ids, unfit }, key).await
}

/// Send the outputs of tasks once more
///
/// Of tasks that failed with the class `upload`: their files are still on the
/// worker, and are sent without running the command again.
#[utoipa::path(post, path = "/api/v2/tasks/retry-upload", tag = "tasks", request_body = TaskIds,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn retry_upload(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: TaskIds { ids, unfit }, key }: Change<TaskIds>,
) -> ApiResult<Json<ChangedTasks>> {
    let command = Command::RetryUploads { tasks: ids, unfit, executions: Vec::new() };
    change(&app, &caller, command, key).await
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
    Change { value: TaskIds { ids, unfit }, key }: Change<TaskIds>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::CancelTasks { tasks: ids, unfit }, key).await
}

/// Pause tasks
///
/// What has not begun does not begin; commands that run are suspended and keep
/// their slot, and the limit on their run stands still.
#[utoipa::path(post, path = "/api/v2/tasks/pause", tag = "tasks", request_body = TaskIds,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: TaskIds { ids, unfit }, key }: Change<TaskIds>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::PauseTasks { tasks: ids, unfit }, key).await
}

/// Resume paused tasks
///
/// They go on in the state in which they were paused.
#[utoipa::path(post, path = "/api/v2/tasks/resume", tag = "tasks", request_body = TaskIds,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: TaskIds { ids, unfit }, key }: Change<TaskIds>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::ResumeTasks { tasks: ids, unfit }, key).await
}

/// Send a signal to the commands of tasks
///
/// To the whole process group. `TERM` and `KILL` end the task, which fails with
/// the class `cancelled`; `STOP` and `TSTP` pause it, `CONT` resumes it.
#[utoipa::path(post, path = "/api/v2/tasks/signal", tag = "tasks", request_body = SignalTasks,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn signal(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: SignalTasks { ids, signal, unfit }, key }: Change<SignalTasks>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::SignalTasks { tasks: ids, signal, unfit }, key).await
}

/// Move tasks to another batch
///
/// The batch is made if there is none of that name. What a worker has accepted is
/// brought to its end there.
#[utoipa::path(post, path = "/api/v2/tasks/move", tag = "tasks", request_body = MoveTasks,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn move_to_batch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: MoveTasks { ids, batch }, key }: Change<MoveTasks>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::MoveTasks { tasks: ids, batch }, key).await
}

/// Give tasks new specifications
///
/// All of them, or none. Those that have no worker take it at once, those whose
/// worker has not begun before it begins.
#[utoipa::path(post, path = "/api/v2/tasks/edit", tag = "tasks", request_body = EditTasks,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: EditTasks { edits, running, ended }, key }: Change<EditTasks>,
) -> ApiResult<Json<ChangedTasks>> {
    let mut prepared = Vec::with_capacity(edits.len());
    for (position, edit) in edits.into_iter().enumerate() {
        let new = specs::prepare(edit.spec)
            .map_err(|problem| ApiError::invalid(format!("edits[{position}]: {problem}")))?;
        prepared.push(TaskEdit { id: edit.id, revision: edit.revision, new });
    }
    change(&app, &caller, Command::EditTasks { edits: prepared, running, ended }, key).await
}

/// Delete tasks with their executions and output
///
/// What runs is not ended; it goes when it has ended. What is paused is ended.
#[utoipa::path(post, path = "/api/v2/tasks/delete", tag = "tasks", request_body = DeleteTasks,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedTasks), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value: DeleteTasks { ids, dependents, unfit }, key }: Change<DeleteTasks>,
) -> ApiResult<Json<ChangedTasks>> {
    change(&app, &caller, Command::DeleteTasks { tasks: ids, dependents, unfit }, key).await
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
