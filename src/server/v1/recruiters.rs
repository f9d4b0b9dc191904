//! Recruiters, flavors, deployments, and what a site sets.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::hiring::{MAX_NUMBER, RecruiterView};
use crate::domain::BatchName;
use crate::domain::hire::{Scope, Wanted};
use crate::domain::protofilter::FilterError;
use crate::domain::recruiter::{Recruiter, Sizing};
use crate::domain::worker::WorkerSettings;

use super::super::engine::Command;
use super::super::engine::hiring::{HireWorkers, HiringCommand};
use super::super::engine::state::State as EngineState;
use super::super::http::App;
use super::super::http::recruiters::views;
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::filter::Filter;
use super::gate::Actor;
use super::{routes, task_spec, workers};

/// The fields of a recruiter.
const COLUMNS: [&str; 10] = [
    "batch",
    "rank",
    "tasks_per_worker",
    "worker_flavor",
    "worker_provider",
    "worker_region",
    "worker_concurrency",
    "worker_prefetch",
    "minimum_tasks",
    "maximum_workers",
];
/// Flavors that are listed where nothing else is asked for.
const USUAL_LIMIT: u32 = 10;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> V1Result<Json<Vec<Map<String, Value>>>> {
    let found = find_all(&app, &fields).await?;
    Ok(Json(found.iter().map(print).collect()))
}

/// Workers of which a flavor fits one of the recruiters.
pub(super) async fn fitting(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> V1Result<Json<Vec<Map<String, Value>>>> {
    let recruiters = find_all(&app, &fields).await?;
    let selections: Vec<_> =
        recruiters.iter().filter_map(|view| view.recruiter.wanted().selection().ok()).collect();
    let ids = app
        .engine
        .query(move |state: &EngineState| {
            let fits = |worker: &_| {
                let flavor = state.flavor_of(worker);
                selections.iter().any(|selection| selection.filter.fits(&flavor))
            };
            let workers = state.workers.iter().filter(|(_, worker)| fits(worker));
            workers.map(|(id, _)| *id).collect::<Vec<_>>()
        })
        .await?;
    let mut found = Vec::new();
    for id in ids {
        // One that has left meanwhile is left out.
        found.extend(workers::find(&app, id).await.ok());
    }
    Ok(Json(found))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let (batch, rank) = place(&parameters)?;
    find(&app, &batch, rank).await.map(|view| Json(print(&view)))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    fields: Fields,
) -> V1Result<(StatusCode, Json<Map<String, Value>>)> {
    let batch = task_spec::batch_name(fields.required("batch")?)?;
    let missing = |name: &str| V1Error::invalid(format!("{name} is missing"));
    let rank = fields.count("rank")?.ok_or_else(|| missing("rank"))?;
    let recruiter = Recruiter {
        flavor: fields.required("worker_flavor")?,
        provider: fields.word("worker_provider")?,
        region: fields.word("worker_region")?,
        concurrency: Sizing::Workers(
            fields.count("worker_concurrency")?.ok_or_else(|| missing("worker_concurrency"))?,
        ),
        prefetch: fields.count("worker_prefetch")?.unwrap_or(0),
        tasks_per_worker: fields
            .count("tasks_per_worker")?
            .ok_or_else(|| missing("tasks_per_worker"))?,
        minimum_tasks: fields.count("minimum_tasks")?,
        maximum_workers: fields.count("maximum_workers")?,
        scope: Scope::Shared,
    };
    set(&app, &actor, &batch, rank, recruiter).await?;
    let view = find(&app, &batch, rank).await?;
    Ok((StatusCode::CREATED, Json(print(&view))))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Map<String, Value>>> {
    let (batch, rank) = place(&parameters)?;
    let present = find(&app, &batch, rank).await?.recruiter;
    let recruiter = Recruiter {
        flavor: fields.word("worker_flavor")?.unwrap_or(present.flavor),
        provider: fields.word("worker_provider")?.or(present.provider),
        region: fields.word("worker_region")?.or(present.region),
        concurrency: fields
            .count("worker_concurrency")?
            .map_or(present.concurrency, Sizing::Workers),
        prefetch: fields.count("worker_prefetch")?.unwrap_or(present.prefetch),
        tasks_per_worker: fields.count("tasks_per_worker")?.unwrap_or(present.tasks_per_worker),
        minimum_tasks: fields.count("minimum_tasks")?.or(present.minimum_tasks),
        maximum_workers: fields.count("maximum_workers")?.or(present.maximum_workers),
        scope: Scope::Shared,
    };
    set(&app, &actor, &batch, rank, recruiter).await?;
    find(&app, &batch, rank).await.map(|view| Json(print(&view)))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let (batch, rank) = place(&parameters)?;
    let view = find(&app, &batch, rank).await?;
    let command = HiringCommand::DeleteRecruiter { batch, rank };
    app.engine.apply(&actor, Command::Hiring(command), None).await?;
    Ok(Json(print(&view)))
}

/// Hires workers. What a client leaves out is one.
pub(super) async fn deploy(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    fields: Fields,
) -> V1Result<Json<Value>> {
    let number = fields.count("number")?.unwrap_or(1);
    if !(1..=MAX_NUMBER).contains(&number) {
        return Err(V1Error::invalid(format!("number {number} is not from 1 to {MAX_NUMBER}")));
    }
    let named = |text: Option<String>| text.filter(|text| text != "auto");
    let wanted = Wanted {
        flavor: fields.required("flavor")?,
        provider: named(fields.word("provider")?).map(crate::domain::ProviderName::new),
        region: named(fields.word("region")?).map(crate::domain::RegionName::new),
    };
    wanted.selection().map_err(|error| V1Error::invalid(error.to_string()))?;
    let batch = match fields.word("batch")? {
        Some(batch) => task_spec::batch_name(batch)?,
        None => BatchName::default(),
    };
    let hire = HireWorkers {
        wanted,
        scope: Scope::Shared,
        number,
        settings: WorkerSettings {
            batch,
            concurrency: fields.count("concurrency")?.unwrap_or(1).max(1),
            prefetch: fields.count("prefetch")?.unwrap_or(0),
        },
    };
    let command = Command::Hiring(HiringCommand::Hire(Box::new(hire)));
    app.engine.apply(&actor, command, None).await?;
    Ok(Json(json!({ "result": "ok" })))
}

pub(super) async fn flavors(
    State(app): State<Arc<App>>,
    fields: Fields,
) -> V1Result<Json<Vec<Value>>> {
    let selection = Wanted {
        flavor: filter(&fields)?,
        provider: fields.word("provider")?.map(crate::domain::ProviderName::new),
        region: fields.word("region")?.map(crate::domain::RegionName::new),
    }
    .selection()
    .map_err(|error: FilterError| V1Error::invalid(error.to_string()))?;
    let limit = usize::try_from(fields.count("limit")?.unwrap_or(USUAL_LIMIT)).unwrap_or(0);
    let now = app.clock.now().monotonic;
    let found = app
        .engine
        .query(move |state| {
            let (market, usage) = (&state.hiring.market, state.usage());
            let mut offers: Vec<_> =
                market.offers(&selection, Scope::Shared, &usage, now).collect();
            // Old clients know no preferred regions in a list.
            let cost = |cost: Option<f64>| cost.unwrap_or(f64::INFINITY);
            offers.sort_by(|a, b| cost(a.flavor.cost).total_cmp(&cost(b.flavor.cost)));
            offers.iter().take(limit).map(flavor).collect()
        })
        .await?;
    Ok(Json(found))
}

/// One filter of all that the original asks for apart.
fn filter(fields: &Fields) -> V1Result<String> {
    let mut filter = "auto".to_owned();
    for (name, condition) in [("min_cpu", "cpu>="), ("min_ram", "ram>="), ("min_disk", "disk>=")] {
        if let Some(least) = fields.word(name)? {
            filter = format!("{filter}:{condition}{least}");
        }
    }
    let more = fields.word("protofilters")?.unwrap_or_default();
    if !more.is_empty() {
        filter = format!("{filter}:{more}");
    }
    match fields.word("max_eviction")? {
        // As it is implied, what is not known fits.
        None => Ok(filter),
        Some(most) if most == "5" || more.contains("eviction") => Ok(filter),
        Some(most) => Ok(format!("{filter}:eviction<={most}")),
    }
}

fn flavor(offer: &super::super::engine::hiring::Offer<'_>) -> Value {
    let flavor = offer.flavor;
    json!({
        "name": flavor.name,
        "provider": flavor.provider,
        "region": flavor.region,
        "cpu": flavor.cpu,
        "ram": flavor.ram.unwrap_or(0.0),
        "disk": flavor.disk.unwrap_or(0.0),
        "tags": flavor.tags,
        "gpu": flavor.gpu,
        "gpumem": flavor.gpu_memory.unwrap_or(0.0),
        "cost": flavor.cost,
        "eviction": flavor.eviction.unwrap_or(0.0),
        "available": offer.available,
    })
}

async fn set(
    app: &App,
    actor: &Arc<str>,
    batch: &BatchName,
    rank: u32,
    recruiter: Recruiter,
) -> V1Result<()> {
    if rank == 0 || recruiter.tasks_per_worker == 0 {
        return Err(V1Error::invalid("rank and tasks_per_worker begin with 1"));
    }
    recruiter.wanted().selection().map_err(|error| V1Error::invalid(error.to_string()))?;
    let command =
        HiringCommand::SetRecruiter { batch: batch.clone(), rank, recruiter: Box::new(recruiter) };
    app.engine.apply(actor, Command::Hiring(command), None).await?;
    Ok(())
}

fn place(parameters: &RawPathParams) -> V1Result<(BatchName, u32)> {
    let (batch, rank) = (routes::text(parameters, "batch")?, routes::text(parameters, "rank")?);
    let missing =
        || V1Error::not_found(format!("Recruiter batch {batch} rank {rank} doesn't exist"));
    Ok((batch.parse().map_err(|_| missing())?, rank.parse().map_err(|_| missing())?))
}

async fn find(app: &App, batch: &BatchName, rank: u32) -> V1Result<RecruiterView> {
    let all = app.engine.query(views).await?;
    let found = all.into_iter().find(|view| view.batch == *batch && view.rank == rank);
    found.ok_or_else(|| {
        V1Error::not_found(format!("Recruiter batch {batch} rank {rank} doesn't exist"))
    })
}

async fn find_all(app: &App, fields: &Fields) -> V1Result<Vec<RecruiterView>> {
    let filter = Filter::of(fields, &COLUMNS, &[])?;
    let mut all = app.engine.query(views).await?;
    all.retain(|view| filter.fits(&print(view)));
    all.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.batch.cmp(&b.batch)));
    Ok(all)
}

fn print(view: &RecruiterView) -> Map<String, Value> {
    let recruiter = &view.recruiter;
    let value = json!({
        "batch": view.batch,
        "rank": view.rank,
        "tasks_per_worker": recruiter.tasks_per_worker,
        "worker_flavor": recruiter.flavor,
        "worker_provider": recruiter.provider,
        "worker_region": recruiter.region,
        // One that is derived is whatever the smallest machine would get.
        "worker_concurrency": recruiter.concurrency.concurrency(1, None),
        "worker_prefetch": recruiter.prefetch,
        "minimum_tasks": recruiter.minimum_tasks,
        "maximum_workers": recruiter.maximum_workers,
    });
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

pub(super) async fn remote(State(app): State<Arc<App>>) -> Json<String> {
    Json(app.v1.as_ref().map(|v1| v1.settings.remote.clone()).unwrap_or_default())
}

/// The file as it is, where the site shares it: it has secrets in it.
pub(super) async fn rclone(State(app): State<Arc<App>>) -> V1Result<Json<String>> {
    let Some(path) = app.v1.as_ref().and_then(|v1| v1.settings.rclone.clone()) else {
        return Err(V1Error::not_found(
            "this server does not share its rclone.conf (see --v1-share-rclone)",
        ));
    };
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => Ok(Json(text)),
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "cannot read the file to be shared");
            Err(V1Error::not_found("the server's rclone.conf cannot be read"))
        }
    }
}
