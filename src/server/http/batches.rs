//! `/api/v2/batches`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::batch::{BatchList, BatchView, Slots};
use crate::api::error::ErrorBody;

use super::App;
use super::error::ApiResult;

/// List batches with their counters, also those without tasks or without workers
#[utoipa::path(get, path = "/api/v2/batches", tag = "batches",
    responses((status = 200, body = BatchList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<Json<BatchList>> {
    let mut batches: Vec<BatchView> = app
        .engine
        .query(|state| {
            state
                .batches
                .values()
                .map(|batch| {
                    let mut workers = BTreeMap::new();
                    for worker in batch.workers.iter().filter_map(|id| state.workers.get(id)) {
                        *workers.entry(worker.state()).or_default() += 1;
                    }
                    let tasks = batch.counters.by_state();
                    BatchView {
                        name: batch.name.clone(),
                        pause: batch.pause,
                        tasks,
                        workers,
                        slots: Slots::default(),
                        runtime: batch.runtimes.figures(),
                        throughput: 0.0,
                        remaining_seconds: None,
                    }
                })
                .collect()
        })
        .await?;
    batches.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(BatchList { batches }))
}
