//! `/workers/`: lists and single workers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use serde_json::{Map, Value, json};

use crate::domain::WorkerId;
use crate::domain::worker::WorkerState;

use super::super::engine::state::Worker;
use super::super::http::App;
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::filter::Filter;
use super::{print, routes, stats};

const COLUMNS: &[&str] = &[
    "worker_id",
    "name",
    "concurrency",
    "prefetch",
    "hostname",
    "status",
    "load",
    "memory",
    "stats",
    "task_properties",
    "creation_date",
    "modification_date",
    "last_contact_date",
    "batch",
    "permanent",
    "flavor",
    "region",
    "provider",
];

pub(super) async fn list(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> V1Result<Json<Vec<Map<String, Value>>>> {
    let filter = Filter::of(&fields, COLUMNS, &[])?;
    let mut workers = app
        .engine
        .query(|state| {
            state.workers.iter().map(|(id, worker)| worker_of(*id, worker)).collect::<Vec<_>>()
        })
        .await?;
    workers.retain(|worker| filter.fits(worker));
    Ok(Json(workers))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let id = WorkerId(routes::id(&parameters, "id")?);
    find(&app, id).await.map(Json)
}

/// How many latest executions each worker has, by their states.
pub(super) async fn tasks(State(app): State<Arc<App>>) -> V1Result<Json<Vec<Value>>> {
    let counts = app.store.readers.count_by_worker().await?;
    let lines = counts.into_iter().map(|count| {
        json!({
            "worker_id": count.worker,
            "status": <&str>::from(count.state),
            "count": count.count,
        })
    });
    Ok(Json(lines.collect()))
}

pub(super) async fn find(app: &App, id: WorkerId) -> V1Result<Map<String, Value>> {
    let found = app
        .engine
        .query(move |state| state.workers.get(&id).map(|worker| worker_of(id, worker)))
        .await?;
    found.ok_or_else(|| V1Error::not_found(format!("Worker {id} doesn't exist")))
}

fn worker_of(id: WorkerId, worker: &Worker) -> Map<String, Value> {
    let status = match worker.state() {
        // One that drains takes nothing new, as one that is paused.
        WorkerState::Draining => WorkerState::Paused,
        state => state,
    };
    let changed = worker.last_contact.unwrap_or(worker.registered_at);
    let value = json!({
        "worker_id": id,
        "name": &*worker.name,
        "concurrency": worker.settings.concurrency,
        "prefetch": worker.settings.prefetch,
        "hostname": Some(&worker.machine.hostname).filter(|name| !name.is_empty()),
        "status": <&str>::from(status),
        "load": worker.stats.as_ref().map(stats::load),
        "memory": worker.stats.as_ref().map(|stats| stats.memory_percent),
        "stats": worker.stats.as_ref().map(stats::text),
        // Shares of a busy machine by weight there are none of. Never null: workers
        // parse it with each ping.
        "task_properties": "{}",
        "creation_date": print::date(worker.registered_at),
        "modification_date": print::date(changed),
        "last_contact_date": worker.last_contact.map(print::date),
        "batch": worker.settings.batch.as_str(),
        "permanent": worker.hire.is_none(),
        "flavor": worker.machine.flavor,
        "region": worker.machine.region,
        "provider": worker.machine.provider,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
