//! `GET /api/v2/tasks` and `GET /api/v2/tasks/count`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::error::ErrorBody;
use crate::api::task::{CountTasks, ListTasks, TaskCounts, TaskPage, TaskView};
use crate::domain::TaskId;
use crate::domain::filter::Filter;
use crate::domain::task::TaskState;

use super::super::store::{CursorError, Direction, Order, Position, TaskFilter, TaskQuery};
use super::App;
use super::error::{ApiError, ApiResult};
use super::request::{Parameters, page_size, parse_states};

/// List tasks
///
/// Sorted by `id`, `name`, `batch`, `state` or `priority`, a page takes the
/// same time whatever the number of tasks. So do ended tasks sorted by `since`.
/// For other orders, tasks that fit are sorted anew for each page. A `command`,
/// a `name` that begins with a wildcard, a `filter`, and `since_before` are looked for from
/// task to task until the page is full.
#[utoipa::path(get, path = "/api/v2/tasks", tag = "tasks", params(ListTasks),
    responses((status = 200, body = TaskPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<ListTasks>,
) -> ApiResult<Json<TaskPage>> {
    let filter = filter(CountTasks::from(&query))?;
    let direction = if query.reverse { Direction::Backward } else { Direction::Forward };
    let order = Order { sort: query.sort, direction };
    let after = query.cursor.map(|cursor| Position::decode(&cursor, order)).transpose()?;
    let limit = page_size(query.limit)?;
    let now = app.clock.now().wall;
    let found =
        app.store.readers.list_tasks(TaskQuery { filter, order, after, limit, now }).await?;
    let mut tasks = found.tasks;
    add_phases(&app, &mut tasks).await?;
    Ok(Json(TaskPage { tasks, next: found.next.map(|position| position.encode(order)) }))
}

/// Count tasks
///
/// With `state` and `batch` alone, or without any condition, the live counters
/// answer at once. Any other condition is checked on all tasks that the most
/// particular of the indexes leaves (batch, state, name, tag, worker), on all
/// there are if none of them serves: about a second for a million tasks.
#[utoipa::path(get, path = "/api/v2/tasks/count", tag = "tasks", params(CountTasks),
    responses((status = 200, body = TaskCounts), (status = "4XX", body = ErrorBody)))]
pub(super) async fn count(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<CountTasks>,
) -> ApiResult<Json<TaskCounts>> {
    let CountTasks { batch, name, command, tag, worker, since_before, filter: words, .. } = &query;
    let is_plain = name.is_none()
        && command.is_none()
        && tag.is_none()
        && worker.is_none()
        && since_before.is_none()
        && words.is_none();
    let states = if is_plain {
        let wanted: Vec<TaskState> = parse_states(query.state.as_deref())?;
        let batch = batch.clone();
        let mut states = app
            .engine
            .query(move |state| match batch {
                None => state.count_tasks().by_state(),
                Some(name) => {
                    let batch = state.find_batch(&name);
                    batch.map(|batch| batch.counters).unwrap_or_default().by_state()
                }
            })
            .await?;
        states.retain(|state, _| wanted.is_empty() || wanted.contains(state));
        states
    } else {
        app.store.readers.count_tasks(filter(query)?).await?
    };
    let total = states.values().sum();
    Ok(Json(TaskCounts { states, total }))
}

fn filter(query: CountTasks) -> ApiResult<TaskFilter> {
    let texts = [
        ("name", &query.name),
        ("command", &query.command),
        ("tag", &query.tag),
        ("filter", &query.filter),
    ];
    for (what, text) in texts {
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(ApiError::invalid(format!("`{what}` has a NUL byte, which no task has")));
        }
    }
    if let Some(words) = &query.filter {
        Filter::parse(words).map_err(|error| ApiError::invalid(format!("`filter`: {error}")))?;
    }
    let states = parse_states(query.state.as_deref())?;
    Ok(TaskFilter::new(query, states))
}

/// Adds what only the engine knows.
async fn add_phases(app: &App, tasks: &mut [TaskView]) -> ApiResult<()> {
    let active: Vec<TaskId> =
        tasks.iter().filter(|task| task.state.may_be_active()).map(|task| task.id).collect();
    if active.is_empty() {
        return Ok(());
    }
    let phases: BTreeMap<TaskId, _> = app
        .engine
        .query(move |state| active.into_iter().map(|id| (id, state.live_task(id).phase)).collect())
        .await?;
    for task in tasks {
        task.phase = phases.get(&task.id).copied().flatten();
    }
    Ok(())
}

impl From<CursorError> for ApiError {
    fn from(error: CursorError) -> Self {
        Self::invalid(error.to_string())
    }
}
