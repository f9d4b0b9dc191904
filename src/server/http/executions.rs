//! `/api/v2/executions`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::error::ErrorBody;
use crate::api::execution::{ExecutionPage, ExecutionView, ListExecutions};
use crate::domain::ExecutionId;
use crate::domain::execution::ExecutionState;

use super::App;
use super::error::{ApiError, ApiResult};
use super::request::{Id, Parameters, page_size, parse_states};

/// List executions
#[utoipa::path(get, path = "/api/v2/executions", tag = "executions", params(ListExecutions),
    responses((status = 200, body = ExecutionPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<ListExecutions>,
) -> ApiResult<Json<ExecutionPage>> {
    let states: Vec<ExecutionState> = parse_states(query.state.as_deref())?;
    let limit = page_size(query.limit)?;
    let mut executions = app.store.readers.list_executions(query, states, limit + 1).await?;
    let more = executions.len() > limit as usize;
    executions.truncate(limit as usize);
    let next = if more { executions.last().map(|execution| execution.id) } else { None };
    for execution in &mut executions {
        add_live(&app, execution).await?;
    }
    Ok(Json(ExecutionPage { executions, next }))
}

/// Show one execution
#[utoipa::path(get, path = "/api/v2/executions/{id}", tag = "executions",
    params(("id" = ExecutionId, Path)),
    responses((status = 200, body = ExecutionView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(id): Id<ExecutionId>,
) -> ApiResult<Json<ExecutionView>> {
    let mut execution = find(&app, id).await?;
    add_live(&app, &mut execution).await?;
    Ok(Json(execution))
}

pub(super) async fn find(app: &App, id: ExecutionId) -> ApiResult<ExecutionView> {
    let found = app.store.readers.find_execution(id).await?;
    found.ok_or_else(|| ApiError::not_found(format!("execution {id} does not exist")))
}

/// Adds what the database does not have while an execution is under way.
async fn add_live(app: &App, execution: &mut ExecutionView) -> ApiResult<()> {
    if execution.state.is_final() {
        return Ok(());
    }
    execution.output = app.output.sizes(execution.id).await?;
    let task = execution.task;
    execution.phase = app.engine.query(move |state| state.live_task(task).phase).await?;
    Ok(())
}
