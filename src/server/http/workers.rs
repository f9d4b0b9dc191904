//! `/api/v2/workers`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::batch::Slots;
use crate::api::error::ErrorBody;
use crate::api::hiring::HireView;
use crate::api::worker::{
    CleanWorker, HandledOrphans, OrphanIds, UpdateWorker, WorkerList, WorkerView,
};
use crate::domain::execution::ExecutionState;
use crate::domain::hire::Hire;
use crate::domain::{Timestamp, WorkerId};

use super::super::engine;
use super::super::engine::command::{Command, Reply};
use super::super::engine::service::RequestKey;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::{Change, Id};
use super::tasks::unexpected;

/// Largest concurrency and prefetch that make sense.
pub(super) const MAX_SLOTS: u32 = 100_000;

/// List workers
#[utoipa::path(get, path = "/api/v2/workers", tag = "workers",
    responses((status = 200, body = WorkerList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<Json<WorkerList>> {
    let now = app.clock.now().wall;
    let workers = app
        .engine
        .query(move |state| state.workers.keys().filter_map(|id| view(state, *id, now)).collect())
        .await?;
    Ok(Json(WorkerList { workers }))
}

/// Show one worker
#[utoipa::path(get, path = "/api/v2/workers/{id}", tag = "workers", params(("id" = WorkerId, Path)),
    responses((status = 200, body = WorkerView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id<WorkerId>,
) -> ApiResult<Json<WorkerView>> {
    find(&app, id).await.map(Json)
}

/// Change a worker's settings
///
/// Moved to another batch, it gives back what it has not accepted and finishes
/// the rest. A lower concurrency ends nothing.
#[utoipa::path(patch, path = "/api/v2/workers/{id}", tag = "workers",
    params(("id" = WorkerId, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = UpdateWorker,
    responses((status = 200, body = WorkerView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(worker): Id<WorkerId>,
    Change { value, key }: Change<UpdateWorker>,
) -> ApiResult<Json<WorkerView>> {
    for (name, count) in [("concurrency", value.concurrency), ("prefetch", value.prefetch)] {
        if let Some(count) = count.filter(|count| *count > MAX_SLOTS) {
            return Err(ApiError::invalid(format!("{name} {count} is more than {MAX_SLOTS}")));
        }
    }
    let command = Command::UpdateWorker { worker, update: value };
    match app.engine.apply(&caller.name, command, key).await? {
        Reply::Worker(id) => find(&app, id).await.map(Json),
        other => Err(unexpected(&other)),
    }
}

/// Delete a worker's record
///
/// What it runs is ended and given to others; the record goes with the last of
/// it. A live agent registers again.
#[utoipa::path(delete, path = "/api/v2/workers/{id}", tag = "workers",
    params(("id" = WorkerId, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(worker): Id<WorkerId>,
    Change { key, .. }: Change<()>,
) -> ApiResult<StatusCode> {
    app.engine.apply(&caller.name, Command::DeleteWorker(worker), key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take off a worker's disk what is not needed
#[utoipa::path(post, path = "/api/v2/workers/{id}/clean", tag = "workers",
    params(("id" = WorkerId, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = CleanWorker,
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn clean(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(worker): Id<WorkerId>,
    Change { value, key }: Change<CleanWorker>,
) -> ApiResult<StatusCode> {
    let command = Command::CleanWorker { worker, what: value.what };
    app.engine.apply(&caller.name, command, key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replace a worker's agent by a new process
///
/// Its commands run on.
#[utoipa::path(post, path = "/api/v2/workers/{id}/restart", tag = "workers",
    params(("id" = WorkerId, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn restart(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(worker): Id<WorkerId>,
    Change { key, .. }: Change<()>,
) -> ApiResult<StatusCode> {
    app.engine.apply(&caller.name, Command::RestartWorker(worker), key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adopt executions of an earlier life of this database
///
/// They become executions of their tasks, where those exist and have no other.
#[utoipa::path(post, path = "/api/v2/workers/{id}/orphans/adopt", tag = "workers",
    params(("id" = WorkerId, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = OrphanIds,
    responses((status = 200, body = HandledOrphans), (status = "4XX", body = ErrorBody)))]
pub(super) async fn adopt_orphans(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(worker): Id<WorkerId>,
    Change { value: OrphanIds { executions }, key }: Change<OrphanIds>,
) -> ApiResult<Json<HandledOrphans>> {
    handle_orphans(&app, &caller, Command::AdoptOrphans { worker, executions }, key).await
}

/// End executions that this server does not know, and forget them
#[utoipa::path(post, path = "/api/v2/workers/{id}/orphans/abandon", tag = "workers",
    params(("id" = WorkerId, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = OrphanIds,
    responses((status = 200, body = HandledOrphans), (status = "4XX", body = ErrorBody)))]
pub(super) async fn abandon_orphans(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(worker): Id<WorkerId>,
    Change { value: OrphanIds { executions }, key }: Change<OrphanIds>,
) -> ApiResult<Json<HandledOrphans>> {
    handle_orphans(&app, &caller, Command::AbandonOrphans { worker, executions }, key).await
}

async fn handle_orphans(
    app: &App,
    caller: &Caller,
    command: Command,
    key: Option<RequestKey>,
) -> ApiResult<Json<HandledOrphans>> {
    match app.engine.apply(&caller.name, command, key).await? {
        Reply::Orphans(handled) => Ok(Json(handled)),
        other => Err(unexpected(&other)),
    }
}

async fn find(app: &App, id: WorkerId) -> ApiResult<WorkerView> {
    let now = app.clock.now().wall;
    let found = app.engine.query(move |state| view(state, id, now)).await?;
    found.ok_or_else(|| ApiError::not_found(format!("worker {id} does not exist")))
}

fn view(state: &engine::State, id: WorkerId, now: Timestamp) -> Option<WorkerView> {
    let worker = state.workers.get(&id)?;
    let (mut assigned, mut accepted, mut running) = (0, 0, 0);
    for execution in worker.executions.iter().filter_map(|id| state.executions.get(id)) {
        match execution.row.state {
            ExecutionState::Pending => assigned += 1,
            ExecutionState::Accepted => accepted += 1,
            _ => running += 1,
        }
    }
    Some(WorkerView {
        id,
        name: worker.name.to_string(),
        batch: worker.settings.batch.clone(),
        state: worker.state(),
        wanted: worker.wanted,
        seen: worker.seen_state(),
        concurrency: worker.settings.concurrency,
        prefetch: worker.settings.prefetch,
        machine: worker.machine.clone(),
        version: worker.version.clone(),
        assigned,
        accepted,
        running,
        succeeded: worker.succeeded,
        failed: worker.failed,
        failure: worker.failure.as_deref().map(str::to_owned),
        slots: Slots { taken: worker.held.into(), total: worker.settings.concurrency.into() },
        lost_after_seconds: state
            .lost_after(worker.batch)
            .map(|limit| limit.max(worker.machine.protocol.lease().unwrap_or_default()).as_secs()),
        orphans: worker.orphans.clone(),
        registered_at: worker.registered_at,
        last_contact: worker.last_contact,
        stats: worker.stats.clone(),
        created_by: worker.created_by.to_string(),
        hire: worker.hire.as_deref().map(|hire| hire_view(hire, now)),
    })
}

fn hire_view(hire: &Hire, now: Timestamp) -> HireView {
    HireView {
        provider: hire.provider.clone(),
        region: hire.region.clone(),
        flavor: hire.flavor.clone(),
        cost: hire.cost,
        currency: hire.currency.clone(),
        spent: hire.spent(now),
        hired_at: hire.hired_at,
        recruiter: hire.recruiter,
    }
}
