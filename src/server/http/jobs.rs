//! `/api/v2/jobs`, and the hiring of workers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use tokio::io::AsyncReadExt;

use crate::api::error::{ErrorBody, ErrorCode};
use crate::api::hiring::{
    DeployWorkers, DeployedWorkers, JobIds, JobList, JobLog, JobView, MAX_NUMBER, ReadJobLog,
};
use crate::domain::JobId;
use crate::domain::flavor::{ProviderName, RegionName};
use crate::domain::hire::Wanted;
use crate::domain::worker::WorkerSettings;

use super::super::engine::Command;
use super::super::engine::command::Reply;
use super::super::engine::hiring::{HireWorkers, HiringCommand, Job};
use super::super::engine::service::RequestKey;
use super::super::hiring::HiringService;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::{Change, Id, Parameters};
use super::tasks::unexpected;
use super::workers::MAX_SLOTS;

/// Longest wait for more of a log, seconds.
const MAX_WAIT: u32 = 60;
/// Time between two looks at a log.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes of the program in one piece.
const PIECE: usize = 256 << 10;

/// Hire workers
///
/// Each gets a record and a job that fetches its machine; all of them, or none.
#[utoipa::path(post, path = "/api/v2/workers/deploy", tag = "hiring", request_body = DeployWorkers,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 201, body = DeployedWorkers), (status = "4XX", body = ErrorBody)))]
pub(super) async fn deploy(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<DeployWorkers>,
) -> ApiResult<(StatusCode, Json<DeployedWorkers>)> {
    let hire = checked(value, &caller)?;
    let command = Command::Hiring(HiringCommand::Hire(Box::new(hire)));
    match app.engine.apply(&caller.name, command, key).await? {
        Reply::Hired { workers, jobs } => {
            Ok((StatusCode::CREATED, Json(DeployedWorkers { workers, jobs })))
        }
        other => Err(unexpected(&other)),
    }
}

/// What is asked for, as far as it makes sense by itself.
pub(in crate::server) fn checked(value: DeployWorkers, caller: &Caller) -> ApiResult<HireWorkers> {
    let DeployWorkers { flavor, provider, region, batch, concurrency, prefetch, number } = value;
    for (name, count, least, most) in [
        ("number", number, 1, MAX_NUMBER),
        ("concurrency", concurrency, 1, MAX_SLOTS),
        ("prefetch", prefetch, 0, MAX_SLOTS),
    ] {
        if !(least..=most).contains(&count) {
            return Err(ApiError::invalid(format!("{name} {count} is not from {least} to {most}")));
        }
    }
    let wanted = wanted(flavor, provider, region);
    wanted.selection().map_err(|error| {
        ApiError::invalid(format!("flavor: {error}")).hint(pointer(&wanted.flavor, error.at))
    })?;
    Ok(HireWorkers {
        wanted,
        scope: HiringService::scope_of(caller.principal.role),
        number,
        settings: WorkerSettings { batch, concurrency, prefetch },
    })
}

/// A selection whose provider and region may be `auto`.
pub(super) fn wanted(flavor: String, provider: Option<String>, region: Option<String>) -> Wanted {
    let named = |text: Option<String>| text.filter(|text| text != "auto" && !text.is_empty());
    Wanted {
        flavor,
        provider: named(provider).map(ProviderName::new),
        region: named(region).map(RegionName::new),
    }
}

/// The text, with the place at which it is wrong.
pub(super) fn pointer(text: &str, at: usize) -> String {
    let (right, wrong): (String, String) =
        (text.chars().take(at - 1).collect(), text.chars().skip(at - 1).collect());
    format!("`{right}` is right, what follows is not: `{wrong}`")
}

/// List jobs, the oldest first
#[utoipa::path(get, path = "/api/v2/jobs", tag = "hiring",
    responses((status = 200, body = JobList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<Json<JobList>> {
    let jobs = app
        .engine
        .query(|state| state.hiring.jobs.iter().map(|(id, job)| view(*id, job)).collect());
    Ok(Json(JobList { jobs: jobs.await? }))
}

/// Show one job
#[utoipa::path(get, path = "/api/v2/jobs/{id}", tag = "hiring", params(("id" = JobId, Path)),
    responses((status = 200, body = JobView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id<JobId>,
) -> ApiResult<Json<JobView>> {
    find(&app, id).await.map(Json)
}

/// Read the log of a job
#[utoipa::path(get, path = "/api/v2/jobs/{id}/log", tag = "hiring",
    params(("id" = JobId, Path), ReadJobLog),
    responses((status = 200, body = JobLog), (status = "4XX", body = ErrorBody)))]
pub(super) async fn log(
    State(app): State<Arc<App>>,
    Id(id): Id<JobId>,
    Parameters(query): Parameters<ReadJobLog>,
) -> ApiResult<Json<JobLog>> {
    let wait = query.wait_seconds.unwrap_or(0);
    if wait > MAX_WAIT {
        return Err(ApiError::invalid(format!("wait_seconds {wait} is more than {MAX_WAIT}")));
    }
    let until = tokio::time::Instant::now() + Duration::from_secs(wait.into());
    loop {
        // Asked first: what is written until the end is then read.
        let is_final = find(&app, id).await?.state.is_final();
        let read = app.hiring.read_log(id, query.offset);
        let mut log = read.map_err(|error| {
            tracing::error!(%error, job = %id, "the log of a job cannot be read");
            ApiError::new(ErrorCode::Internal, "the log cannot be read")
        })?;
        log.complete = is_final && log.text.is_empty();
        if !log.text.is_empty() || is_final || tokio::time::Instant::now() >= until {
            return Ok(Json(log));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = app.stop_asked() => return Ok(Json(log)),
        }
    }
}

/// Cancel a job
///
/// What it was making is taken away; what it was to destroy stays.
#[utoipa::path(post, path = "/api/v2/jobs/{id}/cancel", tag = "hiring",
    params(("id" = JobId, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
    Change { key, .. }: Change<()>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, HiringCommand::CancelJob(id), key).await
}

/// Try a failed job again
#[utoipa::path(post, path = "/api/v2/jobs/{id}/retry", tag = "hiring",
    params(("id" = JobId, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<JobId>,
    Change { key, .. }: Change<()>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, HiringCommand::RetryJob(id), key).await
}

/// Forget jobs that have ended
#[utoipa::path(post, path = "/api/v2/jobs/delete", tag = "hiring", request_body = JobIds,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<JobIds>,
) -> ApiResult<StatusCode> {
    change(&app, &caller, HiringCommand::DeleteJobs(value.ids), key).await
}

/// Fetch the program of an agent
///
/// The very program that this server is, for machines that it has hired.
#[utoipa::path(get, path = "/api/v2/agent-binary", tag = "agents",
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn agent_binary() -> ApiResult<Response> {
    let unreadable = |error: std::io::Error| {
        tracing::error!(%error, "cannot read this program");
        ApiError::new(ErrorCode::Internal, "the server cannot read its own program")
    };
    // The file that this process was started from, also when it was replaced since.
    let file = tokio::fs::File::open("/proc/self/exe").await.map_err(unreadable)?;
    let length = file.metadata().await.map_err(unreadable)?.len();
    let pieces = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then_some((piece, file)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert("content-length", HeaderValue::from(length));
    Ok(response)
}

async fn change(
    app: &App,
    caller: &Caller,
    command: HiringCommand,
    key: Option<RequestKey>,
) -> ApiResult<StatusCode> {
    app.engine.apply(&caller.name, Command::Hiring(command), key).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(app: &App, id: JobId) -> ApiResult<JobView> {
    let asked = app.engine.query(move |state| state.hiring.jobs.get(&id).map(|job| view(id, job)));
    asked.await?.ok_or_else(|| ApiError::not_found(format!("job {id} does not exist")))
}

fn view(id: JobId, job: &Job) -> JobView {
    let row = &job.row;
    JobView {
        id,
        action: row.action,
        state: row.state,
        worker: row.worker,
        target: row.worker_name.to_string(),
        batch: row.order.settings.batch.clone(),
        provider: row.provider.clone(),
        region: row.region.clone(),
        flavor: row.flavor.clone(),
        progress: job.progress,
        line: job.line.as_deref().map(str::to_owned),
        reason: row.reason.as_deref().map(str::to_owned),
        tries_left: row.tries_left,
        created_at: row.created_at,
        since: row.since,
        created_by: row.created_by.to_string(),
    }
}
