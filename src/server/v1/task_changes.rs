//! `PUT` and `DELETE` of tasks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::task::{Dependents, EditEnded, EditRunning, Unfit};
use crate::domain::TaskId;
use crate::domain::signal::Signal;
use crate::domain::task::{TaskSpec, TaskState};

use super::super::engine::command::{Command, TaskEdit};
use super::super::http::App;
use super::super::http::specs;
use super::super::store::PlainTask;
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::gate::Actor;
use super::print::{self, DEBUG_TAG};
use super::{routes, task_spec, tasks};

const STATUSES: [&str; 9] = [
    "paused",
    "waiting",
    "pending",
    "assigned",
    "accepted",
    "running",
    "failed",
    "succeeded",
    "debug",
];

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Map<String, Value>>> {
    let id = TaskId(routes::id(&parameters, "id")?);
    let task = tasks::find(&app, id).await?;
    let status = fields.text("status")?;
    if let Some(word) = status.as_deref().filter(|word| !STATUSES.contains(word)) {
        return Err(V1Error::invalid(format!(
            "Status {word} is not possible (only {})",
            STATUSES.join(" ")
        )));
    }
    let wanted = status.filter(|word| word != print::task_status(&task));
    let mut spec = task.spec.clone();
    task_spec::patch(&mut spec, &fields)?;
    if fields.count("retry")?.is_some_and(|retry| retry == task.retries_left) {
        spec.retry = task.spec.retry;
    }
    if wanted.as_deref() == Some("debug") {
        spec.tags.insert(DEBUG_TAG.to_owned(), String::new());
    }
    let again = matches!(wanted.as_deref(), Some("pending" | "waiting"));
    if spec != task.spec {
        edit(
            &app,
            &actor,
            id,
            &task,
            spec,
            if again { EditRunning::Restart } else { EditRunning::Refuse },
        )
        .await?;
    }
    if let Some(wanted) = wanted {
        change_status(&app, &actor, id, task.state, &wanted).await?;
    }
    Ok(Json(print::task(&tasks::find(&app, id).await?)))
}

/// The task as it was. What runs of it is ended.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let id = TaskId(routes::id(&parameters, "id")?);
    let task = tasks::find(&app, id).await?;
    let ids = vec![id];
    let end = Command::SignalTasks { tasks: ids.clone(), signal: Signal::Term, unfit: Unfit::Skip };
    app.engine.apply(&actor, end, None).await?;
    // Old clients delete in any order.
    let (dependents, unfit) = (Dependents::Detach, Unfit::Refuse);
    app.engine.apply(&actor, Command::DeleteTasks { tasks: ids, dependents, unfit }, None).await?;
    Ok(Json(print::task(&task)))
}

/// One more requirement of a task.
pub(super) async fn require(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    fields: Fields,
) -> V1Result<(StatusCode, Json<Value>)> {
    let id = |name: &str| {
        let id = fields.count(name)?.filter(|id| *id > 0);
        let id = id.ok_or_else(|| V1Error::invalid(format!("{name} is missing")))?;
        V1Result::Ok(TaskId(id.into()))
    };
    let (task, required) = (id("task_id")?, id("other_task_id")?);
    let found = tasks::find(&app, task).await?;
    let mut spec = found.spec.clone();
    if !spec.after.contains(&required) {
        spec.after.push(required);
        edit(&app, &actor, task, &found, spec, EditRunning::Refuse).await?;
    }
    let line = json!({"requirement_id": null, "task_id": task, "other_task_id": required});
    Ok((StatusCode::CREATED, Json(line)))
}

async fn edit(
    app: &App,
    actor: &Arc<str>,
    id: TaskId,
    task: &PlainTask,
    spec: TaskSpec,
    running: EditRunning,
) -> V1Result<()> {
    let moved = TaskSpec { batch: spec.batch.clone(), ..task.spec.clone() };
    let command = if moved == spec {
        Command::MoveTasks { tasks: vec![id], batch: spec.batch }
    } else {
        let new = specs::prepare(spec).map_err(V1Error::invalid)?;
        let edits = vec![TaskEdit { id, revision: None, new }];
        Command::EditTasks { edits, running, ended: EditEnded::Keep }
    };
    app.engine.apply(actor, command, None).await?;
    Ok(())
}

async fn change_status(
    app: &App,
    actor: &Arc<str>,
    id: TaskId,
    state: TaskState,
    wanted: &str,
) -> V1Result<()> {
    let tasks = vec![id];
    let unfit = Unfit::Skip;
    let command = match (wanted, state) {
        // Whether it waits follows from what it requires.
        ("pending" | "waiting", TaskState::Pending | TaskState::Waiting) => return Ok(()),
        ("pending" | "waiting", TaskState::Paused) => Command::ResumeTasks { tasks, unfit },
        ("pending" | "waiting", _) => Command::RelaunchTasks { tasks, unfit },
        ("paused" | "debug", _) => Command::PauseTasks { tasks, unfit: Unfit::Refuse },
        ("failed", _) => Command::CancelTasks { tasks, unfit: Unfit::Refuse },
        (other, _) => {
            return Err(V1Error::conflict(format!(
                "Task {id} cannot be made {other} by hand: that is what becomes of it"
            )));
        }
    };
    app.engine.apply(actor, command, None).await?;
    Ok(())
}
