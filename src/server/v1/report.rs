//! What old workers report of their executions, in the words of our agents.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use serde_json::{Map, Value, json};

use crate::api::link::{ReportEvent, Verdict};
use crate::domain::execution::{
    ExecutionState, Failure, FailureClass, Keepsake, Outcome, OutputSizes,
};
use crate::domain::worker::Protocol;
use crate::domain::{ExecutionId, TaskId};

use super::super::engine::command::Command;
use super::super::http::App;
use super::body::Fields;
use super::error::{V1Error, V1Result};
use super::gate::Actor;
use super::print::{self, DOWNLOAD_FAILED, Texts, UPLOAD_FAILED};
use super::session::{self, Live};
use super::{executions, output, routes, tasks};

/// A worker is about to start a command: the fence. The answer is the task as it
/// is at this moment, and that is what it runs.
pub(super) async fn freeze(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
) -> V1Result<Json<Map<String, Value>>> {
    let task = TaskId(routes::id(&parameters, "id")?);
    let id = ExecutionId(routes::id(&parameters, "execution")?);
    let gone = || V1Error::not_found(format!("Task {task} or Execution {id} doesn't exist"));
    let live = session::live(&app, id).await?.ok_or_else(gone)?;
    if live.task != task {
        return Err(V1Error::not_found(format!("Execution {id} is not linked to Task {task}")));
    }
    if live.state == ExecutionState::Pending {
        // Its acceptance is still on its way.
        session::report(&app, &actor, (id, live), ReportEvent::Accepted).await?;
    }
    let command = |link| Command::Freeze { worker: live.worker, link, execution: id };
    let passed = session::speak(&app, &actor, live.worker, command).await;
    let frozen = match passed {
        Ok(_) => tasks::find(&app, task).await,
        Err(V1Error::HangUp) => return Err(V1Error::HangUp),
        Err(refused) => Err(refused),
    };
    match frozen {
        Ok(task) => Ok(Json(print::task(&task))),
        Err(V1Error::HangUp) => Err(V1Error::HangUp),
        // The worker drops it now and says no more of it.
        Err(_) => {
            let reason = "its command was no longer to be started";
            let end = session::without_run(FailureClass::Refused, reason);
            if let Some(live) = session::live(&app, id).await? {
                session::report(&app, &actor, (id, live), end).await?;
            }
            Err(gone())
        }
    }
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Map<String, Value>>> {
    let id = ExecutionId(routes::id(&parameters, "id")?);
    let wanted = wanted_state(&fields)?;
    let Some(live) = session::live(&app, id).await? else {
        let execution = executions::find(&app, id).await?;
        return match wanted {
            // What was told before is told again.
            Some(wanted) if wanted != execution.row.state => {
                Err(impossible(execution.row.state, wanted))
            }
            _ => executions::printed(&app, id).await.map(Json),
        };
    };
    if live.protocol == Protocol::Link {
        return Err(V1Error::conflict(format!(
            "execution {id} is run by an agent of this version, which reports for itself"
        )));
    }
    let texts = Texts { output: fields.text("output")?, error: fields.text("error")? };
    if texts.output.is_some() || texts.error.is_some() {
        output::replace(&app, id, texts).await?;
    }
    let keepsake =
        Keepsake { pid: fields.text("pid")?, output_files: fields.text("output_files")? };
    if keepsake != Keepsake::default() {
        app.engine.apply(&actor, Command::Keep { execution: id, keepsake }, None).await?;
    }
    // Read before the end: with the last execution of a deleted task its rows go.
    let before = executions::printed(&app, id).await;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != live.state) {
        let code = fields.integer("return_code")?;
        let event = event(&app, (id, live), wanted, code)?;
        let verdict = session::report(&app, &actor, (id, live), event).await?;
        if matches!(verdict, Verdict::Superseded | Verdict::Unknown) {
            return Err(impossible(ExecutionState::Refused, wanted));
        }
    }
    match executions::printed(&app, id).await {
        Ok(execution) => Ok(Json(execution)),
        Err(V1Error::Told { .. }) => before.map(Json),
        Err(error) => Err(error),
    }
}

pub(super) async fn output_files(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    parameters: RawPathParams,
    fields: Fields,
) -> V1Result<Json<Value>> {
    let execution = ExecutionId(routes::id(&parameters, "id")?);
    executions::find(&app, execution).await?;
    let keepsake = Keepsake { pid: None, output_files: fields.text("text")? };
    app.engine.apply(&actor, Command::Keep { execution, keepsake }, None).await?;
    Ok(Json(json!({"result": "Ok"})))
}

fn wanted_state(fields: &Fields) -> V1Result<Option<ExecutionState>> {
    let Some(word) = fields.text("status")? else { return Ok(None) };
    let state = word.parse().map_err(|_| {
        V1Error::invalid(format!(
            "Status {word} is not possible (only pending accepted running failed succeeded refused)"
        ))
    })?;
    Ok(Some(state))
}

/// What the change of a state says in the words of an agent.
fn event(
    app: &App,
    (id, live): (ExecutionId, Live),
    wanted: ExecutionState,
    code: Option<i64>,
) -> V1Result<ReportEvent> {
    use ExecutionState as S;
    Ok(match (live.state, wanted) {
        (S::Pending, S::Accepted) => ReportEvent::Accepted,
        (S::Pending | S::Accepted, S::Running) => ReportEvent::Started,
        // It was started anew, and has lost its data: the task is ready again.
        (S::Accepted, S::Pending) => {
            session::without_run(FailureClass::Refused, "its worker was started anew")
        }
        (S::Pending | S::Accepted, S::Refused) => {
            session::without_run(FailureClass::Refused, "the worker refused it")
        }
        (_, S::Succeeded) => ended(Outcome { exit_code: Some(0), ..Outcome::good() }, app),
        (state, S::Failed) => {
            let session = session::served(app)?.sessions.find(live.worker);
            let timed_out = session.is_some_and(|session| session.forget(id));
            ended(failure(state, code, timed_out.then_some(FailureClass::Timeout)), app)
        }
        (from, to) => return Err(impossible(from, to)),
    })
}

fn ended(outcome: Outcome, app: &App) -> ReportEvent {
    ReportEvent::Finished {
        outcome,
        output: OutputSizes::default(),
        ended_at: Some(app.clock.now().wall),
        cached: None,
    }
}

/// How it failed, as its exit code tells.
fn failure(state: ExecutionState, code: Option<i64>, known: Option<FailureClass>) -> Outcome {
    let (class, reason) = match code {
        Some(DOWNLOAD_FAILED) => {
            (FailureClass::Download, "its data could not be fetched".to_owned())
        }
        Some(UPLOAD_FAILED) => (FailureClass::Upload, "its outputs could not be sent".to_owned()),
        Some(code) if code < 0 => (FailureClass::Signal, format!("signal {}", -code)),
        Some(code) => (FailureClass::Exit, format!("exit code {code}")),
        None if state == ExecutionState::Running => {
            (FailureClass::Lost, "its worker was started anew and did not find it".to_owned())
        }
        None => (FailureClass::Internal, "its command could not be started".to_owned()),
    };
    let (class, reason) = match known {
        Some(class) => (class, "its command ran longer than it may".to_owned()),
        None => (class, reason),
    };
    let small = code.and_then(|code| i32::try_from(code).ok());
    let is_of_the_command = !matches!(code, Some(DOWNLOAD_FAILED | UPLOAD_FAILED));
    let small = small.filter(|_| is_of_the_command);
    Outcome {
        failure: Some(Failure { class, reason }),
        exit_code: small.filter(|code| *code >= 0),
        signal: small.filter(|code| *code < 0).map(|code| -code),
        usage: None,
        reused: None,
    }
}

fn impossible(from: ExecutionState, to: ExecutionState) -> V1Error {
    let only = if from.is_final() { " (only from pending, running or accepted)" } else { "" };
    V1Error::conflict(format!("An execution cannot change status from {from} to {to}{only}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_tells_how_it_failed() {
        let class = |state, code| failure(state, code, None).failure.unwrap().class;
        let running = ExecutionState::Running;
        assert_eq!(class(running, Some(3)), FailureClass::Exit);
        assert_eq!(class(running, Some(-9)), FailureClass::Signal);
        assert_eq!(class(ExecutionState::Accepted, Some(-1001)), FailureClass::Download);
        assert_eq!(class(running, Some(-1000)), FailureClass::Upload);
        assert_eq!(class(running, None), FailureClass::Lost);
        assert_eq!(class(ExecutionState::Accepted, None), FailureClass::Internal);
        let killed = failure(running, Some(-9), Some(FailureClass::Timeout));
        assert_eq!(killed.failure.unwrap().class, FailureClass::Timeout);
        assert_eq!((killed.exit_code, killed.signal), (None, Some(9)));
    }
}
