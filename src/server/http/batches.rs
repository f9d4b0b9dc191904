//! `/api/v2/batches`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::batch::{
    BatchDetail, BatchList, BatchView, ChangedBatch, DeleteBatch, Setting, Slots, UpdateBatch,
    WithTasks,
};
use crate::api::error::ErrorBody;
use crate::api::task::Unfit;
use crate::domain::batch::LostAfter;
use crate::domain::signal::Signal;
use crate::domain::task::{Command as TaskCommand, TaskSpec};
use crate::domain::worker::WorkerState;
use crate::domain::{BatchName, Now, TaskId};

use super::super::engine::command::{Command, Reply};
use super::super::engine::service::RequestKey;
use super::super::engine::state::{self, Batch};
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::{Change, Id};
use super::tasks::unexpected;

/// Shortest time after which a worker can be taken for lost, seconds.
pub(super) const MIN_LOST_AFTER: u32 = 60;
/// Failed tasks that are relaunched at once.
const RETRIED_AT_ONCE: u32 = 5_000;

/// List batches with their counters, also those without tasks or without workers
#[utoipa::path(get, path = "/api/v2/batches", tag = "batches",
    responses((status = 200, body = BatchList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<Json<BatchList>> {
    let now = app.clock.now();
    let mut batches: Vec<BatchView> = app
        .engine
        .query(move |state| {
            let there = state.batches.values().filter(|batch| !batch.deleted);
            there.map(|batch| view(state, batch, now)).collect()
        })
        .await?;
    batches.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(BatchList { batches }))
}

/// Show one batch with all that is known of it
#[utoipa::path(get, path = "/api/v2/batches/{name}", tag = "batches",
    params(("name" = BatchName, Path)),
    responses((status = 200, body = BatchDetail), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(name): Id<BatchName>,
) -> ApiResult<Json<BatchDetail>> {
    detail(&app, name).await.map(Json)
}

/// Set what a batch gives its tasks and workers
///
/// What is absent stays as it is. A batch that is not there is made.
#[utoipa::path(patch, path = "/api/v2/batches/{name}", tag = "batches",
    params(("name" = BatchName, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = UpdateBatch,
    responses((status = 200, body = BatchDetail), (status = "4XX", body = ErrorBody)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(batch): Id<BatchName>,
    Change { value, key }: Change<UpdateBatch>,
) -> ApiResult<Json<BatchDetail>> {
    check(&value)?;
    let command = Command::UpdateBatch { batch, update: value };
    match app.engine.apply(&caller.name, command, key).await? {
        Reply::Batch(name) => detail(&app, name).await.map(Json),
        other => Err(unexpected(&other)),
    }
}

/// Pause a batch
///
/// No command is started, on whichever worker; what runs goes on, unless it is to
/// be suspended as well.
#[utoipa::path(post, path = "/api/v2/batches/{name}/pause", tag = "batches",
    params(("name" = BatchName, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = WithTasks,
    responses((status = 200, body = ChangedBatch), (status = "4XX", body = ErrorBody)))]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(batch): Id<BatchName>,
    Change { value: with, key }: Change<WithTasks>,
) -> ApiResult<Json<ChangedBatch>> {
    change(&app, &caller, Command::PauseBatch { batch, with }, key).await
}

/// Let a batch go on
#[utoipa::path(post, path = "/api/v2/batches/{name}/go", tag = "batches",
    params(("name" = BatchName, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = WithTasks,
    responses((status = 200, body = ChangedBatch), (status = "4XX", body = ErrorBody)))]
pub(super) async fn go(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(batch): Id<BatchName>,
    Change { value: with, key }: Change<WithTasks>,
) -> ApiResult<Json<ChangedBatch>> {
    change(&app, &caller, Command::GoBatch { batch, with }, key).await
}

/// Stop all that runs in a batch, and pause it
///
/// Commands get SIGTERM and, after 10 s, SIGKILL; their tasks fail with the class
/// `cancelled`.
#[utoipa::path(post, path = "/api/v2/batches/{name}/stop", tag = "batches",
    params(("name" = BatchName, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedBatch), (status = "4XX", body = ErrorBody)))]
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(batch): Id<BatchName>,
    Change { key, .. }: Change<()>,
) -> ApiResult<Json<ChangedBatch>> {
    change(&app, &caller, Command::EndBatch { batch, signal: Signal::Term }, key).await
}

/// Kill all that runs in a batch, and pause it
#[utoipa::path(post, path = "/api/v2/batches/{name}/kill", tag = "batches",
    params(("name" = BatchName, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedBatch), (status = "4XX", body = ErrorBody)))]
pub(super) async fn kill(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(batch): Id<BatchName>,
    Change { key, .. }: Change<()>,
) -> ApiResult<Json<ChangedBatch>> {
    change(&app, &caller, Command::EndBatch { batch, signal: Signal::Kill }, key).await
}

/// Run all failed tasks of a batch again
///
/// Some thousand at a time: other changes get their turn between them.
#[utoipa::path(post, path = "/api/v2/batches/{name}/retry", tag = "batches",
    params(("name" = BatchName, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ChangedBatch), (status = "4XX", body = ErrorBody)))]
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(batch): Id<BatchName>,
    _: Change<()>,
) -> ApiResult<Json<ChangedBatch>> {
    detail(&app, batch.clone()).await?;
    let mut last = TaskId(0);
    let mut retried = 0;
    loop {
        let tasks = app.store.readers.failed_tasks(batch.clone(), last, RETRIED_AT_ONCE).await?;
        let Some(newest) = tasks.last() else { return Ok(Json(ChangedBatch { tasks: retried })) };
        last = *newest;
        // A repetition of this request finds fewer that have failed, and no harm.
        let command = Command::RelaunchTasks { tasks, unfit: Unfit::Skip };
        match app.engine.apply(&caller.name, command, None).await? {
            Reply::Tasks(ids) => retried += ids.len() as u64,
            other => return Err(unexpected(&other)),
        }
    }
}

/// Delete a batch with all its tasks
///
/// What runs goes on unseen unless it is to be killed. Workers stay in a batch of
/// this name.
#[utoipa::path(post, path = "/api/v2/batches/{name}/delete", tag = "batches",
    params(("name" = BatchName, Path), ("idempotency-key" = Option<String>, Header)),
    request_body = DeleteBatch,
    responses((status = 200, body = ChangedBatch), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(batch): Id<BatchName>,
    Change { value: how, key }: Change<DeleteBatch>,
) -> ApiResult<Json<ChangedBatch>> {
    change(&app, &caller, Command::DeleteBatch { batch, how }, key).await
}

async fn change(
    app: &App,
    caller: &Caller,
    command: Command,
    key: Option<RequestKey>,
) -> ApiResult<Json<ChangedBatch>> {
    match app.engine.apply(&caller.name, command, key).await? {
        Reply::Count(tasks) => Ok(Json(ChangedBatch { tasks })),
        other => Err(unexpected(&other)),
    }
}

async fn detail(app: &App, name: BatchName) -> ApiResult<BatchDetail> {
    let now = app.clock.now();
    let asked = name.clone();
    let found = app
        .engine
        .query(move |state| {
            let batch = state.find_batch(&asked)?;
            Some(BatchDetail {
                batch: view(state, batch, now),
                settings: batch.settings.clone(),
                why: state.why_batch_stands(batch),
                failures: Vec::new(),
            })
        })
        .await?;
    let mut detail =
        found.ok_or_else(|| ApiError::not_found(format!("batch `{name}` does not exist")))?;
    detail.failures = app.store.readers.batch_failures(name).await?;
    Ok(detail)
}

fn view(state: &state::State, batch: &Batch, now: Now) -> BatchView {
    let mut workers: BTreeMap<WorkerState, u64> = BTreeMap::new();
    let mut slots = Slots::default();
    for worker in batch.workers.iter().filter_map(|id| state.workers.get(id)) {
        *workers.entry(worker.state()).or_default() += 1;
        if worker.takes_work() {
            slots.taken += u64::from(worker.held.min(worker.settings.concurrency));
            slots.total += u64::from(worker.settings.concurrency);
        }
    }
    let tasks = batch.counters.by_state();
    let left: u64 =
        tasks.iter().filter(|(state, _)| !state.is_final()).map(|(_, count)| count).sum();
    let throughput = batch.throughput.per_minute(now.monotonic);
    let id = state.batch_ids.get(&batch.name).copied();
    let is_moving = left > 0 && throughput > 0.0;
    BatchView {
        name: batch.name.clone(),
        pause: batch.pause,
        tasks,
        workers,
        slots,
        runtime: batch.runtimes.figures(),
        throughput,
        remaining_seconds: is_moving.then(|| as_float(left) * 60.0 / throughput),
        cost_per_hour: id.map(|id| state.hourly_cost(id)).unwrap_or_default(),
        spent: id.map(|id| state.spent(id, now.wall)).unwrap_or_default(),
    }
}

/// Whether these are settings that a batch can have.
fn check(update: &UpdateBatch) -> ApiResult<()> {
    if let Some(defaults) = &update.defaults {
        let mut spec = TaskSpec::new(TaskCommand::Line("true".to_owned()));
        defaults.complete(&mut spec);
        spec.check().map_err(|error| ApiError::invalid(format!("defaults: {error}")))?;
    }
    match update.lost_after {
        Some(Setting::Value(LostAfter::Seconds(seconds))) if seconds < MIN_LOST_AFTER => {
            return Err(ApiError::invalid(format!(
                "lost_after is {seconds} seconds, {MIN_LOST_AFTER} are the least"
            )));
        }
        _ => {}
    }
    match update.output_limit {
        Some(Setting::Value(0)) => Err(ApiError::invalid(
            "output_limit is 0 bytes; `default` stands for the usual limit".to_owned(),
        )),
        _ => Ok(()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
const fn as_float(count: u64) -> f64 {
    count as f64
}
