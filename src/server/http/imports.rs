//! `/api/v2/import/…`: what another system had.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;

use crate::api::error::ErrorBody;
use crate::api::import::{
    ImportProblem, ImportTasks, ImportedExecution, ImportedIds, ImportedTask, ImportedWorker,
};
use crate::domain::demand::Demand;
use crate::domain::execution::{
    ExecutionState, Failure, FailureClass, Keepsake, Outcome, OutputSizes, Stream,
};
use crate::domain::task::{Hold, TaskSpec, TaskState};
use crate::domain::worker::{Machine, WantedState, WorkerSettings};
use crate::domain::{ExecutionId, TaskId};

use super::super::engine::change::ExecutionRow;
use super::super::engine::command::{Command, ImportTask, ImportedEnd, NewTask, NewWorker, Reply};
use super::super::link::MAX_NAME;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::Change;
use super::specs;
use super::tasks::unexpected;
use super::workers::MAX_SLOTS;

/// Import tasks of another system
///
/// Ended ones stay as they ended, with their output. The others are queued.
#[utoipa::path(post, path = "/api/v2/import/tasks", tag = "import", request_body = ImportTasks,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ImportedIds), (status = "4XX", body = ErrorBody)))]
pub(super) async fn tasks(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<ImportTasks>,
) -> ApiResult<Json<ImportedIds>> {
    let mut problems = Vec::new();
    let mut imports = Vec::with_capacity(value.tasks.len());
    let mut executions = Vec::with_capacity(value.tasks.len());
    for (position, mut task) in value.tasks.into_iter().enumerate() {
        executions.push(std::mem::take(&mut task.executions));
        let (import, problem) = prepare(task)
            .map_err(|problem| ApiError::invalid(format!("tasks[{position}]: {problem}")))?;
        problems.extend(problem.map(|problem| ImportProblem { position, problem }));
        imports.push(import);
    }
    if value.dry_run {
        return Ok(Json(ImportedIds { ids: Vec::new(), problems }));
    }
    let count = executions.iter().map(Vec::len).sum::<usize>() as u64;
    let mut next =
        match app.engine.apply(&caller.name, Command::ReserveExecutions(count), None).await? {
            Reply::Executions { first } => first,
            other => return Err(unexpected(&other)),
        };
    for (import, executions) in imports.iter_mut().zip(executions) {
        for execution in executions {
            let row = store(&app, next, execution).await?;
            import.executions.push((next, row));
            next = next.next();
        }
    }
    match app.engine.apply(&caller.name, Command::ImportTasks(imports), key).await? {
        Reply::Created { first, count } => {
            let ids = (first.0..first.0 + count).map(TaskId).collect();
            Ok(Json(ImportedIds { ids, problems }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Import a worker of the original
///
/// It is paused until it speaks, and keeps its settings then.
#[utoipa::path(post, path = "/api/v2/import/worker", tag = "import",
    request_body = ImportedWorker, params(("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn worker(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<ImportedWorker>,
) -> ApiResult<StatusCode> {
    let ImportedWorker { name, hostname, batch, concurrency, prefetch, flavor } = value;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!(
            "a worker's name is 1 to {MAX_NAME} bytes without control characters"
        )));
    }
    if concurrency > MAX_SLOTS || prefetch > MAX_SLOTS {
        return Err(ApiError::invalid(format!("{MAX_SLOTS} slots are the most")));
    }
    let new = NewWorker {
        name: name.into(),
        machine: Machine { flavor, ..Machine::of_the_original(hostname) },
        settings: WorkerSettings { batch, concurrency, prefetch },
        wanted: WantedState::Paused,
        version: "1".to_owned(),
    };
    app.engine.apply(&caller.name, Command::RegisterWorker(Box::new(new)), key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A task in the form in which it is taken in, and why it cannot be run here.
fn prepare(task: ImportedTask) -> Result<(ImportTask, Option<String>), String> {
    let ImportedTask { spec, state, created_at, state_since, retries_left, executions: _ } = task;
    let (new, problem) = match specs::prepare(spec.clone()) {
        Ok(new) => (new, None),
        Err(problem) => (unchecked(&spec)?, Some(problem)),
    };
    let hold = if state == TaskState::Paused { Hold::Person } else { Hold::No };
    let ended = match (state, &problem) {
        (TaskState::Succeeded, _) => Some(ImportedEnd { state, failure: None }),
        (TaskState::Failed, _) => {
            Some(ImportedEnd { state, failure: Some(failure("it failed before its import")) })
        }
        (_, Some(problem)) => {
            let reason = format!("it cannot be run here: {problem}");
            Some(ImportedEnd { state: TaskState::Failed, failure: Some(failure(&reason)) })
        }
        _ => None,
    };
    // What has ended need not run here.
    let problem = problem.filter(|_| !state.is_final());
    let import = ImportTask {
        new: NewTask { hold, ..new },
        ended,
        created_at,
        since: state_since,
        retries_left,
        executions: Vec::new(),
    };
    Ok((import, problem))
}

fn failure(reason: &str) -> Failure {
    Failure { class: FailureClass::Internal, reason: reason.to_owned() }
}

/// A specification that is kept and not run.
fn unchecked(spec: &TaskSpec) -> Result<NewTask, String> {
    let bare = TaskSpec {
        after: spec.after.clone(),
        batch: spec.batch.clone(),
        name: spec.name.clone(),
        tags: spec.tags.clone(),
        retry: spec.retry,
        ..TaskSpec::new(crate::domain::task::Command::Line("false".to_owned()))
    };
    let text = serde_json::to_string(spec).map_err(|error| error.to_string())?;
    Ok(NewTask { demand: Demand::of(spec), spec: text.into(), ..specs::prepare(bare)? })
}

/// Stores the output of an execution, and tells its row.
async fn store(
    app: &App,
    id: ExecutionId,
    execution: ImportedExecution,
) -> ApiResult<ExecutionRow> {
    let mut output = OutputSizes::default();
    let texts = [(Stream::Stdout, execution.stdout), (Stream::Stderr, execution.stderr)];
    for (stream, text) in texts {
        if !text.is_empty() {
            let bytes = Bytes::from(text.into_bytes());
            output.set(stream, app.output.append(id, stream, 0, bytes, None).await?);
        }
    }
    app.output.sync_all(vec![id]).await?;
    let state = match &execution.failure {
        None => ExecutionState::Succeeded,
        Some(failure) if failure.class == FailureClass::Refused => ExecutionState::Refused,
        Some(_) => ExecutionState::Failed,
    };
    let keepsake = Keepsake { pid: None, output_files: execution.output_files };
    Ok(ExecutionRow {
        task: TaskId(0),
        attempt: 0,
        revision: 0,
        worker: None,
        worker_name: execution.worker_name.into(),
        state,
        ending: None,
        assigned_at: execution.assigned_at,
        accepted_at: None,
        ready_at: None,
        started_at: None,
        ended_at: None,
        finished_at: Some(execution.finished_at),
        outcome: Some(Box::new(Outcome {
            failure: execution.failure,
            exit_code: execution.exit_code,
            signal: execution.signal,
            usage: None,
            reused: None,
        })),
        output,
        keepsake: (keepsake != Keepsake::default()).then(|| Box::new(keepsake)),
    })
}
