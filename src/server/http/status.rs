//! `/api/v2/server`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::error::ErrorBody;
use crate::api::server::ServerStatus;

use super::super::disk::Disk;
use super::App;
use super::error::{ApiError, ApiResult};

/// Show how the server is
#[utoipa::path(get, path = "/api/v2/server", tag = "server",
    responses((status = 200, body = ServerStatus), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(State(app): State<Arc<App>>) -> ApiResult<Json<ServerStatus>> {
    let (store, epoch, tasks, workers, batches) = app
        .engine
        .query(|state| {
            let mut workers = BTreeMap::new();
            for worker in state.workers.values() {
                *workers.entry(worker.state()).or_default() += 1;
            }
            let tasks = state.count_tasks().by_state();
            (state.store.clone(), state.epoch, tasks, workers, state.batches.len() as u64)
        })
        .await?;
    let disk = Disk::of(app.data_dir.path()).map_err(|error| {
        ApiError::new(crate::api::ErrorCode::Internal, format!("cannot measure the disk: {error}"))
    })?;
    Ok(Json(ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store,
        epoch,
        started_at: app.started_at,
        now: app.clock.now().wall,
        tasks,
        workers,
        batches,
        database_bytes: app.store.size(),
        output_bytes: app.output.total_bytes(),
        disk_free_bytes: disk.free,
        disk_total_bytes: disk.total,
        disk_days_left: app.growth.days_left(
            app.clock.now().monotonic,
            app.used_bytes(),
            (disk, app.least_free),
        ),
        retain_output_seconds: app.retention.output.map(|time| time.as_secs()),
        retain_finished_seconds: app.retention.finished.map(|time| time.as_secs()),
        shortage: app.engine.shortage().map(|reason| reason.to_string()),
        commit_failure: app.engine.outage().map(|reason| reason.to_string()),
    }))
}

/// `/healthz`: whether the server takes changes, for those who watch over it.
/// Tells nothing that needs a token.
pub(super) fn health(app: &App) -> (StatusCode, &'static str) {
    match app.engine.outage() {
        None => (StatusCode::OK, "ok\n"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "changes are refused\n"),
    }
}
