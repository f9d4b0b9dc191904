//! `/batch/`

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use serde_json::{Value, json};

use crate::api::batch::{DeleteBatch, DeleteRunning, WithTasks};
use crate::api::task::Dependents;
use crate::domain::BatchName;
use crate::domain::signal::Signal;
use crate::domain::task::TaskState;

use super::super::engine::Refusal;
use super::super::engine::command::Command;
use super::super::http::App;
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::gate::Actor;
use super::{routes, task_spec};

/// What old clients call by numbers of signals.
pub(super) const KILL: i64 = 9;
pub(super) const TERM: i64 = 15;
/// Old clients send QUIT where they mean a stop.
pub(super) const QUIT: i64 = 3;
pub(super) const CONT: i64 = 18;
pub(super) const TSTP: i64 = 20;

pub(super) async fn list(State(app): State<Arc<App>>) -> V1Result<Json<Vec<Value>>> {
    let mut lines = app
        .engine
        .query(|state| {
            let visible = state.batches.values().filter(|batch| !batch.deleted);
            let with_tasks =
                visible.filter(|batch| batch.counters.by_state().values().any(|count| *count > 0));
            with_tasks
                .map(|batch| {
                    let count = |state| Some(batch.counters.get(state)).filter(|count| *count > 0);
                    let names: Vec<&str> = batch
                        .workers
                        .iter()
                        .filter_map(|id| state.workers.get(id))
                        .map(|worker| &*worker.name)
                        .collect();
                    let line = json!({
                        "batch": batch.name.as_str(),
                        "pending": count(TaskState::Pending),
                        "accepted": count(TaskState::Accepted),
                        "running": count(TaskState::Running),
                        "failed": count(TaskState::Failed),
                        "succeeded": count(TaskState::Succeeded),
                        "workers": Some(names.join(",")).filter(|names| !names.is_empty()),
                    });
                    (batch.name.as_str().to_owned(), line)
                })
                .collect::<Vec<(String, Value)>>()
        })
        .await?;
    lines.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    Ok(Json(lines.into_iter().map(|(_, line)| line).collect()))
}

/// Nothing new begins; with a signal, what runs is ended or suspended.
pub(super) async fn stop(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Value>> {
    let batch = name(&parameters)?;
    let command = match fields.integer("signal")?.unwrap_or(0) {
        0 => Command::PauseBatch { batch, with: WithTasks { tasks: false } },
        TSTP => Command::PauseBatch { batch, with: WithTasks { tasks: true } },
        KILL => Command::EndBatch { batch, signal: Signal::Kill },
        TERM | QUIT => Command::EndBatch { batch, signal: Signal::Term },
        other => return Err(V1Error::invalid(format!("a batch is not stopped by signal {other}"))),
    };
    app.engine.apply(&actor, command, None).await?;
    Ok(Json(json!({"result": "Ok"})))
}

pub(super) async fn go(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Value>> {
    let batch = name(&parameters)?;
    let tasks = match fields.integer("signal")?.unwrap_or(0) {
        0 => false,
        CONT => true,
        other => {
            return Err(V1Error::invalid(format!("no batch goes on by signal {other}")));
        }
    };
    let command = Command::GoBatch { batch, with: WithTasks { tasks } };
    app.engine.apply(&actor, command, None).await?;
    Ok(Json(json!({"result": "Ok"})))
}

/// What runs in it is ended.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
) -> V1Result<Json<Value>> {
    let batch = name(&parameters)?;
    let end = Command::EndBatch { batch: batch.clone(), signal: Signal::Term };
    let how = DeleteBatch { dependents: Dependents::Detach, running: DeleteRunning::Keep };
    for command in [end, Command::DeleteBatch { batch, how }] {
        match app.engine.apply(&actor, command, None).await {
            // There is none: as it shall be.
            Ok(_) | Err(Refusal::NoBatch(_)) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(Json(json!({"result": "Ok"})))
}

fn name(parameters: &RawPathParams) -> V1Result<BatchName> {
    task_spec::batch_name(routes::text(parameters, "name")?.to_owned())
}
