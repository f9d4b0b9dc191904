//! Waiting for one task, and what Ctrl-C does meanwhile.

use std::pin::pin;
use std::time::Duration;

use dialoguer::Select;

use super::error::CliError;
use super::exit;
use super::follow::{Beginning, Streams, follow_task};
use super::output;
use super::progress::Progress;
use super::session::Session;
use crate::api::Client;
use crate::api::client::Patience;
use crate::api::task::{AwaitedTasks, TaskIds, TaskView, Unfit, WaitForTasks};
use crate::domain::TaskId;

/// What is shown while we wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// How the task stands, on standard error.
    Ending,
    /// Its output, byte for byte.
    Output,
}

/// What a person wants after Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Detach,
    Cancel,
    GoOn,
}

/// Seconds between two looks at the task while its progress is shown.
const PROGRESS_SECONDS: u32 = 1;

/// Seconds that one request waits when nobody watches.
const LONG_POLL_SECONDS: u32 = 60;

/// Waits until the task has ended and gives its exit code. A server that goes
/// away is waited for as long as `limit`, or for ever.
pub async fn watch_task(
    session: &Session,
    id: TaskId,
    watch: Watch,
    limit: Option<Duration>,
) -> Result<u8, CliError> {
    let voice = session.output.voice();
    let progress = Progress::new(voice);
    let patience = Patience { limit, notice: Some(progress.notice(voice)) };
    let client = session.client.clone().with_patience(patience);
    let mut watching = pin!(watch_to_end(session, &client, id, watch, &progress));
    let mut is_cancelled = false;
    loop {
        let wish = tokio::select! {
            ended = &mut watching => return ended.map(|task| conclude(session, &task)),
            pressed = tokio::signal::ctrl_c() => match pressed {
                Ok(()) if is_cancelled => Wish::Detach,
                Ok(()) => progress.without(|| ask(id)),
                Err(_) => Wish::GoOn,
            },
        };
        match wish {
            Wish::GoOn => {}
            Wish::Detach => {
                progress.finish();
                session.output.status(format_args!(
                    "task {id} goes on; follow it with `scitq manage task output --follow {id}`"
                ));
                return Ok(exit::DETACHED);
            }
            Wish::Cancel => {
                let cancelled =
                    client.cancel_tasks(&TaskIds { ids: vec![id], unfit: Unfit::Refuse }).await;
                cancelled.map_err(|e| session.explain(e).while_waiting())?;
                progress.without(|| {
                    session.output.status(format_args!("task {id} is being cancelled"));
                });
                is_cancelled = true;
            }
        }
    }
}

async fn watch_to_end(
    session: &Session,
    client: &Client,
    id: TaskId,
    watch: Watch,
    progress: &Progress,
) -> Result<TaskView, CliError> {
    let ended = match watch {
        Watch::Output => {
            follow_task(session, client, id, Beginning::FirstExecution, Streams::Both).await
        }
        Watch::Ending => wait_for_end(session, client, id, progress).await,
    };
    progress.finish();
    ended.map_err(CliError::while_waiting)
}

/// Waits for the end, with progress where somebody sees it.
async fn wait_for_end(
    session: &Session,
    client: &Client,
    id: TaskId,
    progress: &Progress,
) -> Result<TaskView, CliError> {
    let timeout_seconds = if progress.is_shown() { PROGRESS_SECONDS } else { LONG_POLL_SECONDS };
    loop {
        let awaited = look(session, client, id, timeout_seconds).await?;
        if awaited.0.done {
            return Ok(awaited.1);
        }
        progress.tell(&awaited.1);
    }
}

/// Looks at one task, after the end or so many seconds.
pub async fn look(
    session: &Session,
    client: &Client,
    id: TaskId,
    timeout_seconds: u32,
) -> Result<(AwaitedTasks, TaskView), CliError> {
    let request = WaitForTasks { ids: vec![id], timeout_seconds };
    let mut awaited = client.wait_for_tasks(&request).await.map_err(|e| session.explain(e))?;
    match awaited.task.take() {
        Some(task) => Ok((awaited, task)),
        None => Err(CliError::internal(format!("the server told nothing about task {id}"))),
    }
}

/// Tells of a failure, and gives the exit code.
fn conclude(session: &Session, task: &TaskView) -> u8 {
    if let Some(reason) = &task.failure_reason {
        let reason = super::format::visible(reason);
        session.output.status(format_args!("task {} {}: {reason}", task.id, task.state));
    }
    exit::code_of(task)
}

/// Asks what to do; without a terminal, and when asked again, detaches.
fn ask(id: TaskId) -> Wish {
    if !output::can_ask() {
        return Wish::Detach;
    }
    let choice = Select::new()
        .with_prompt(format!("task {id} has not ended"))
        .items(["leave it running", "cancel it", "go on waiting"])
        .default(0)
        .interact_opt();
    match choice {
        Ok(Some(1)) => Wish::Cancel,
        Ok(Some(2)) => Wish::GoOn,
        _ => Wish::Detach,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::testing::{Answer, Script, ok};
    use crate::cli::testing::{session, task};
    use crate::domain::execution::FailureClass;
    use crate::domain::task::TaskState;

    fn awaited(task: &TaskView) -> Answer {
        let done = task.state.is_final();
        ok(serde_json::json!({ "done": done, "states": {}, "task": task }).to_string())
    }

    async fn code_after(answers: Vec<Answer>) -> Result<u8, CliError> {
        let server = Script::start(answers).await;
        let (session, _) = session(&server);
        watch_task(&session, TaskId(1), Watch::Ending, Some(Duration::ZERO)).await
    }

    #[tokio::test]
    async fn waiting_goes_on_until_the_task_has_ended() {
        let failed = TaskView {
            state: TaskState::Failed,
            exit_code: Some(3),
            failure: Some(FailureClass::Exit),
            ..task(1)
        };
        let code = code_after(vec![awaited(&task(1)), Answer::HangUp, awaited(&failed)]).await;
        assert_eq!(code, Ok(3));
    }

    #[tokio::test]
    async fn a_failure_of_our_own_is_told_apart_from_the_task_s() {
        let gone = r#"{"code":"not-found","message":"there is no task 1"}"#;
        let error = code_after(vec![Answer::Say("404 Not Found", gone.into())]).await.unwrap_err();
        assert_eq!((error.kind().exit_code(), error.message()), (125, "there is no task 1"));
    }
}
