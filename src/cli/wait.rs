//! Waiting for tasks, and what Ctrl-C does meanwhile.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use dialoguer::Select;

use super::error::CliError;
use super::exit;
use super::follow::{Beginning, Streams, follow_task};
use super::format;
use super::output;
use super::progress::Progress;
use super::session::Session;
use crate::api::Client;
use crate::api::client::Patience;
use crate::api::task::{AwaitedTasks, TaskIds, TaskView, Unfit, WaitForTasks};
use crate::domain::TaskId;
use crate::domain::task::TaskState;

/// What is shown while we wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// How the tasks stand, on standard error.
    Ending,
    /// Their output, byte for byte, that of one task after the other.
    Output,
}

/// How the awaited tasks ended.
#[derive(Debug)]
enum Ended {
    One(Box<TaskView>),
    Many(BTreeMap<TaskState, u64>),
}

/// What a person wants after Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Detach,
    Cancel,
    GoOn,
}

/// Seconds between two looks at the tasks while their progress is shown; one
/// more for each so many tasks, since each look names them all.
const PROGRESS_SECONDS: u32 = 1;
const TASKS_PER_SECOND: usize = 20_000;

/// Seconds that one request waits when nobody watches.
const LONG_POLL_SECONDS: u32 = 60;

/// Waits until all the tasks have ended. Gives the exit code of the task, or
/// for several 0 when all have succeeded and 1 when not. A server that goes
/// away is waited for as long as `limit`, or for ever.
pub async fn watch_tasks(
    session: &Session,
    ids: &[TaskId],
    watch: Watch,
    limit: Option<Duration>,
) -> Result<u8, CliError> {
    let voice = session.output.voice();
    let progress = Progress::new(voice);
    let patience = Patience { limit, notice: Some(progress.notice(voice)) };
    let client = session.client.clone().with_patience(patience);
    let mut watching = pin!(watch_to_end(session, &client, ids, watch, &progress));
    let mut is_cancelled = false;
    loop {
        let wish = tokio::select! {
            ended = &mut watching => return ended.map(|ended| conclude(session, &ended)),
            pressed = tokio::signal::ctrl_c() => match pressed {
                Ok(()) if is_cancelled => Wish::Detach,
                Ok(()) => progress.without(|| ask(ids)),
                Err(_) => Wish::GoOn,
            },
        };
        match wish {
            Wish::GoOn => {}
            Wish::Detach => {
                progress.finish();
                session.output.status(detached(ids));
                return Ok(exit::DETACHED);
            }
            Wish::Cancel => {
                // Of several, some may have ended by now.
                let unfit = if ids.len() == 1 { Unfit::Refuse } else { Unfit::Skip };
                let cancelled = client.cancel_tasks(&TaskIds { ids: ids.to_vec(), unfit }).await;
                cancelled.map_err(|e| session.explain(e).while_waiting())?;
                progress.without(|| {
                    let (named, verb) = (named(ids), if ids.len() == 1 { "is" } else { "are" });
                    session.output.status(format_args!("{named} {verb} being cancelled"));
                });
                is_cancelled = true;
            }
        }
    }
}

async fn watch_to_end(
    session: &Session,
    client: &Client,
    ids: &[TaskId],
    watch: Watch,
    progress: &Progress,
) -> Result<Ended, CliError> {
    let ended = match watch {
        Watch::Output => follow_tasks(session, client, ids).await,
        Watch::Ending => wait_for_end(session, client, ids, progress).await,
    };
    progress.finish();
    ended.map_err(CliError::while_waiting)
}

/// Shows the output of one task after the other, in the order of their ids, so
/// that the output of many is the same however they were spread over workers.
async fn follow_tasks(
    session: &Session,
    client: &Client,
    ids: &[TaskId],
) -> Result<Ended, CliError> {
    let mut states = BTreeMap::new();
    for id in ids {
        let beginning = Beginning::FirstExecution;
        let task = follow_task(session, client, *id, beginning, Streams::Both).await?;
        if ids.len() == 1 {
            return Ok(Ended::One(Box::new(task)));
        }
        tell_failure(session, &task);
        *states.entry(task.state).or_default() += 1;
    }
    Ok(Ended::Many(states))
}

/// Waits for the end, with progress where somebody sees it.
async fn wait_for_end(
    session: &Session,
    client: &Client,
    ids: &[TaskId],
    progress: &Progress,
) -> Result<Ended, CliError> {
    let more = u32::try_from(ids.len() / TASKS_PER_SECOND).unwrap_or(LONG_POLL_SECONDS);
    let timeout_seconds = if progress.is_shown() {
        PROGRESS_SECONDS.saturating_add(more).min(LONG_POLL_SECONDS)
    } else {
        LONG_POLL_SECONDS
    };
    loop {
        let request = WaitForTasks { ids: ids.to_vec(), timeout_seconds };
        let awaited = client.wait_for_tasks(&request).await.map_err(|e| session.explain(e))?;
        match (awaited.task, awaited.done) {
            (Some(task), true) => return Ok(Ended::One(Box::new(task))),
            (None, true) => return Ok(Ended::Many(awaited.states)),
            (Some(task), false) => progress.tell(&task),
            (None, false) => progress.tell_many(&awaited.states),
        }
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

/// Tells of failures, and gives the exit code.
fn conclude(session: &Session, ended: &Ended) -> u8 {
    match ended {
        Ended::One(task) => {
            tell_failure(session, task);
            exit::code_of(task)
        }
        Ended::Many(states) => {
            let failed = states.get(&TaskState::Failed).copied().unwrap_or(0);
            if failed == 0 {
                return 0;
            }
            let all: u64 = states.values().sum();
            session.output.status(format_args!(
                "{failed} of {all} tasks failed; see them with `scitq manage task list --state failed`"
            ));
            exit::SOME_FAILED
        }
    }
}

fn tell_failure(session: &Session, task: &TaskView) {
    if let Some(reason) = &task.failure_reason {
        let reason = format::visible(reason);
        session.output.status(format_args!("task {} {}: {reason}", task.id, task.state));
    }
}

/// `task 7`, or how many they are.
fn named(ids: &[TaskId]) -> String {
    match ids {
        [id] => format!("task {id}"),
        ids => format!("{} tasks", ids.len()),
    }
}

/// What is said when a person leaves before the end.
fn detached(ids: &[TaskId]) -> String {
    match ids {
        [first, .., last] => {
            let count = ids.len();
            format!(
                "{count} tasks go on, {first} to {last}; see them with `scitq manage task list`"
            )
        }
        ids => {
            let id = ids.first().map(ToString::to_string).unwrap_or_default();
            format!("task {id} goes on; follow it with `scitq manage task output --follow {id}`")
        }
    }
}

/// Asks what to do; without a terminal, and when asked again, detaches.
fn ask(ids: &[TaskId]) -> Wish {
    if !output::can_ask() {
        return Wish::Detach;
    }
    let (verb, them) = if ids.len() == 1 { ("has", "it") } else { ("have", "them") };
    let choice = Select::new()
        .with_prompt(format!("{} {verb} not ended", named(ids)))
        .items([
            format!("leave {them} running"),
            format!("cancel {them}"),
            "go on waiting".to_owned(),
        ])
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

    fn awaited(task: &TaskView) -> Answer {
        let done = task.state.is_final();
        ok(serde_json::json!({ "done": done, "states": {}, "task": task }).to_string())
    }

    async fn code_after(answers: Vec<Answer>) -> Result<u8, CliError> {
        let server = Script::start(answers).await;
        let (session, _) = session(&server);
        watch_tasks(&session, &[TaskId(1)], Watch::Ending, Some(Duration::ZERO)).await
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
    async fn many_are_waited_for_at_once_and_one_failure_counts() {
        let awaited =
            |done: bool, states: &str| ok(format!(r#"{{"done":{done},"states":{{{states}}}}}"#));
        let code = async |last: &str| {
            let answers = vec![awaited(false, r#""running":2"#), awaited(true, last)];
            let server = Script::start(answers).await;
            let (session, _) = session(&server);
            let ids = [TaskId(1), TaskId(2)];
            let code = watch_tasks(&session, &ids, Watch::Ending, Some(Duration::ZERO)).await;
            assert!(server.requests()[0].contains(r#"{"ids":[1,2],"timeout_seconds":60}"#));
            code
        };
        assert_eq!(code(r#""succeeded":2"#).await, Ok(0));
        assert_eq!(code(r#""succeeded":1,"failed":1"#).await, Ok(1));
    }

    #[tokio::test]
    async fn a_failure_of_our_own_is_told_apart_from_the_task_s() {
        let gone = r#"{"code":"not-found","message":"there is no task 1"}"#;
        let error = code_after(vec![Answer::Say("404 Not Found", gone.into())]).await.unwrap_err();
        assert_eq!((error.kind().exit_code(), error.message()), (125, "there is no task 1"));
    }
}
