//! `/api/v2/recruiters`, and those of a batch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::error::ErrorBody;
use crate::api::hiring::{Explanation, Reason, RecruiterList, RecruiterView};
use crate::domain::recruiter::Recruiter;
use crate::domain::task::TaskState;
use crate::domain::{BatchName, Timestamp};

use super::super::engine::Command;
use super::super::engine::hiring::HiringCommand;
use super::super::engine::state::State as EngineState;
use super::super::hiring::HiringService;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::jobs::pointer;
use super::request::{Change, Id};
use super::workers::MAX_SLOTS;

/// List the recruiters of all batches
#[utoipa::path(get, path = "/api/v2/recruiters", tag = "hiring",
    responses((status = 200, body = RecruiterList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<Json<RecruiterList>> {
    let mut recruiters = app.engine.query(views).await?;
    recruiters.sort_by(|a, b| a.batch.cmp(&b.batch).then(a.rank.cmp(&b.rank)));
    Ok(Json(RecruiterList { recruiters }))
}

pub(in crate::server) fn views(state: &EngineState) -> Vec<RecruiterView> {
    let view = |((batch, rank), recruiter): (&(_, u32), &Recruiter)| {
        let batch = state.batches.get(batch)?;
        Some(RecruiterView {
            batch: batch.name.clone(),
            rank: *rank,
            recruiter: recruiter.clone(),
            workers: batch.workers.len() as u64,
        })
    };
    state.hiring.recruiters.iter().filter_map(view).collect()
}

/// Explain what the recruiters of a batch do now, and why
#[utoipa::path(get, path = "/api/v2/batches/{name}/recruiters", tag = "hiring",
    params(("name" = BatchName, Path)),
    responses((status = 200, body = Explanation), (status = "4XX", body = ErrorBody)))]
pub(super) async fn explain(
    State(app): State<Arc<App>>,
    Id(name): Id<BatchName>,
) -> ApiResult<Json<Explanation>> {
    let now = app.clock.now();
    let asked = name.clone();
    let found =
        app.engine.query(move |state| explanation(state, &asked, now.monotonic, now.wall)).await?;
    found.map(Json).ok_or_else(|| ApiError::not_found(format!("batch `{name}` does not exist")))
}

fn explanation(
    state: &EngineState,
    name: &BatchName,
    now: crate::domain::Monotonic,
    wall: Timestamp,
) -> Option<Explanation> {
    let id = *state.batch_ids.get(name)?;
    let batch = state.batches.get(&id)?;
    let reason = |advice: super::super::engine::hiring::Advice| Reason {
        rank: advice.rank,
        verdict: advice.verdict.to_string(),
        recycles: advice
            .recycle
            .iter()
            .filter_map(|worker| Some(state.workers.get(worker)?.name.to_string()))
            .collect(),
        hires: advice
            .hire
            .iter()
            .map(|flavor| format!("{} in {} of {}", flavor.name, flavor.region, flavor.provider))
            .collect(),
        missing: advice.missing,
    };
    let plans = state.plan_recruitment([id], now);
    Some(Explanation {
        batch: name.clone(),
        pending: batch.counters.get(TaskState::Pending),
        workers: batch.workers.len() as u64,
        cost_per_hour: state.hourly_cost(id),
        spent: state.spent(id, wall),
        recruiters: plans.into_iter().map(|(_, advice)| reason(advice)).collect(),
    })
}

/// Set what a recruiter of a batch does
///
/// One of that rank is replaced. A batch that is not there is made.
#[utoipa::path(put, path = "/api/v2/batches/{name}/recruiters/{rank}", tag = "hiring",
    params(("name" = BatchName, Path), ("rank" = u32, Path),
        ("idempotency-key" = Option<String>, Header)),
    request_body = Recruiter,
    responses((status = 200, body = RecruiterView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id((batch, rank)): Id<(BatchName, u32)>,
    Change { value, key }: Change<Recruiter>,
) -> ApiResult<Json<RecruiterView>> {
    let recruiter = checked(value, rank, &caller)?;
    let command =
        HiringCommand::SetRecruiter { batch: batch.clone(), rank, recruiter: Box::new(recruiter) };
    app.engine.apply(&caller.name, Command::Hiring(command), key).await?;
    let all = app.engine.query(views).await?;
    let set = all.into_iter().find(|view| view.batch == batch && view.rank == rank);
    set.map(Json).ok_or_else(|| ApiError::not_found("it was deleted meanwhile"))
}

/// What is asked for, as far as it makes sense by itself.
pub(in crate::server) fn checked(
    recruiter: Recruiter,
    rank: u32,
    caller: &Caller,
) -> ApiResult<Recruiter> {
    if rank == 0 {
        return Err(ApiError::invalid("rank 0: ranks begin with 1"));
    }
    if recruiter.tasks_per_worker == 0 {
        return Err(ApiError::invalid("tasks_per_worker 0: one is the least"));
    }
    if recruiter.prefetch > MAX_SLOTS {
        return Err(ApiError::invalid(format!("prefetch is more than {MAX_SLOTS}")));
    }
    let wanted = recruiter.wanted();
    wanted.selection().map_err(|error| {
        ApiError::invalid(format!("flavor: {error}")).hint(pointer(&wanted.flavor, error.at))
    })?;
    Ok(Recruiter { scope: HiringService::scope_of(caller.principal.role), ..recruiter })
}

/// Delete a recruiter
#[utoipa::path(delete, path = "/api/v2/batches/{name}/recruiters/{rank}", tag = "hiring",
    params(("name" = BatchName, Path), ("rank" = u32, Path),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id((batch, rank)): Id<(BatchName, u32)>,
    Change { key, .. }: Change<()>,
) -> ApiResult<StatusCode> {
    let command = HiringCommand::DeleteRecruiter { batch, rank };
    app.engine.apply(&caller.name, Command::Hiring(command), key).await?;
    Ok(StatusCode::NO_CONTENT)
}
