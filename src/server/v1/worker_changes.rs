//! What people and workers change about workers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::api::task::Unfit;
use crate::api::worker::{Clean, UpdateWorker};
use crate::domain::execution::FailureClass;
use crate::domain::worker::{Machine, Protocol, WantedState, WorkerSettings};
use crate::domain::{ExecutionId, WorkerId};

use super::super::engine::command::{Command, NewWorker, Reply};
use super::super::http::App;
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::gate::Actor;
use super::session::{self, CLEAN_RESOURCES, CLEAN_TASKS, Live, RESTART};
use super::{routes, task_spec, tasks, workers};

/// Largest concurrency and prefetch that make sense.
const MAX_SLOTS: u32 = 100_000;
/// Longest name, bytes.
const MAX_NAME: usize = 255;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    fields: Fields,
) -> V1Result<(StatusCode, Json<Map<String, Value>>)> {
    let name = fields.required("name")?;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(V1Error::invalid(format!(
            "a worker's name is 1 to {MAX_NAME} bytes without control characters"
        )));
    }
    let concurrency =
        slots(&fields, "concurrency")?.ok_or_else(|| V1Error::invalid("concurrency is missing"))?;
    let hostname = fields.text("hostname")?.unwrap_or_default();
    let batch = match fields.word("batch")? {
        Some(batch) => task_spec::batch_name(batch)?,
        None => crate::domain::BatchName::default(),
    };
    let wanted = match fields.text("status")?.as_deref() {
        Some("running") => WantedState::Running,
        _ => WantedState::Paused,
    };
    let new = NewWorker {
        name: name.into(),
        machine: Machine { flavor: fields.word("flavor")?, ..Machine::of_the_original(hostname) },
        settings: WorkerSettings {
            batch,
            concurrency,
            prefetch: slots(&fields, "prefetch")?.unwrap_or(0),
        },
        wanted,
        version: "1".to_owned(),
    };
    match app.engine.apply(&actor, Command::RegisterWorker(Box::new(new)), None).await? {
        Reply::Worker(id) => Ok((StatusCode::CREATED, Json(workers::find(&app, id).await?))),
        other => Err(tasks::unexpected(&other)),
    }
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Map<String, Value>>> {
    let worker = WorkerId(routes::id(&parameters, "id")?);
    workers::find(&app, worker).await?;
    let status = fields.text("status")?;
    let wanted = match status.as_deref() {
        None => None,
        Some("running") => Some(WantedState::Running),
        Some("paused" | "evicted") => Some(WantedState::Paused),
        Some(other) => {
            return Err(V1Error::invalid(format!(
                "Status {other} is not possible (only running paused evicted)"
            )));
        }
    };
    let batch = fields.word("batch")?.map(task_spec::batch_name).transpose()?;
    let update = UpdateWorker {
        batch,
        concurrency: slots(&fields, "concurrency")?,
        prefetch: slots(&fields, "prefetch")?,
        wanted,
    };
    let flavor = fields.text("flavor")?;
    if update != UpdateWorker::default() {
        app.engine.apply(&actor, Command::UpdateWorker { worker, update }, None).await?;
    }
    if let Some(flavor) = flavor {
        set_flavor(&app, &actor, worker, flavor).await?;
    }
    if status.as_deref() == Some("evicted") {
        evict(&app, &actor, worker).await?;
    }
    workers::find(&app, worker).await.map(Json)
}

/// The worker as it was.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let id = WorkerId(routes::id(&parameters, "id")?);
    let worker = workers::find(&app, id).await?;
    app.engine.apply(&actor, Command::DeleteWorker(id), None).await?;
    Ok(Json(worker))
}

/// A signal for a command, or without an execution an order to the worker itself.
pub(super) async fn signal(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Value>> {
    let worker = WorkerId(routes::id(&parameters, "id")?);
    let sent = fields.integer("signal")?.ok_or_else(|| V1Error::invalid("signal is missing"))?;
    let unknown = || V1Error::invalid(format!("{sent} is no signal that can be sent"));
    let command = match fields.integer("execution_id")? {
        Some(execution) => {
            let execution = ExecutionId(u64::try_from(execution).unwrap_or(0));
            let signal = session::signal_of(sent).ok_or_else(unknown)?;
            match session::live(&app, execution).await? {
                // It has ended by itself: nothing is left to be signalled.
                None => return Ok(Json(Value::Null)),
                Some(live) => {
                    Command::SignalTasks { tasks: vec![live.task], signal, unfit: Unfit::Skip }
                }
            }
        }
        None => match sent {
            CLEAN_TASKS => Command::CleanWorker { worker, what: Clean::Tasks },
            CLEAN_RESOURCES => Command::CleanWorker { worker, what: Clean::Resources },
            RESTART => Command::RestartWorker(worker),
            _ => return Err(unknown()),
        },
    };
    app.engine.apply(&actor, command, None).await?;
    Ok(Json(Value::Null))
}

async fn set_flavor(app: &App, actor: &Arc<str>, worker: WorkerId, flavor: String) -> V1Result<()> {
    let machine = app
        .engine
        .query(move |state| state.workers.get(&worker).map(|worker| worker.machine.clone()))
        .await?;
    let Some(machine) = machine else { return Ok(()) };
    let flavor = Some(flavor).filter(|flavor| !flavor.is_empty());
    if machine.flavor != flavor {
        let machine = Machine { flavor, ..machine };
        app.engine.apply(actor, Command::DescribeWorker { worker, machine }, None).await?;
    }
    Ok(())
}

/// Its provider takes an old worker away: what it holds goes to others.
async fn evict(app: &Arc<App>, actor: &Arc<str>, worker: WorkerId) -> V1Result<()> {
    let held = app
        .engine
        .query(move |state| {
            let worker = state.workers.get(&worker);
            let executions = worker.into_iter().flat_map(|worker| worker.executions.iter());
            let live = executions.filter_map(|id| Some((*id, session::live_in(state, *id)?)));
            live.filter(|(_, live)| live.protocol == Protocol::Rest)
                .collect::<Vec<(ExecutionId, Live)>>()
        })
        .await?;
    for execution in held {
        let end = session::without_run(FailureClass::Evicted, "its worker was taken away");
        session::report(app, actor, execution, end).await?;
    }
    Ok(())
}

fn slots(fields: &Fields, name: &str) -> V1Result<Option<u32>> {
    match fields.count(name)? {
        Some(count) if count > MAX_SLOTS => {
            Err(V1Error::invalid(format!("{name} {count} is more than {MAX_SLOTS}")))
        }
        count => Ok(count),
    }
}
