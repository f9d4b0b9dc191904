//! Showing the output of a task as it comes, byte for byte.

use std::time::Duration;

use super::error::CliError;
use super::output;
use super::session::Session;
use super::wait::look;
use crate::api::Client;
use crate::api::execution::{ExecutionView, ListExecutions};
use crate::api::output::{MAX_WAIT, ReadOutput};
use crate::api::task::TaskView;
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, TaskId};

/// Where following a task begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    FirstExecution,
    LatestExecution,
}

/// Which streams are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Each on our stream of the same name.
    Both,
    /// Only this one, on our standard output.
    Only(Stream),
}

/// Whether reading stops at what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    SoFar,
    ToTheEnd,
}

/// Pauses between two looks for the next execution.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Shows one execution after the other until the task has ended.
pub async fn follow_task(
    session: &Session,
    client: &Client,
    id: TaskId,
    beginning: Beginning,
    streams: Streams,
) -> Result<TaskView, CliError> {
    let mut shown: Option<ExecutionId> = None;
    let mut pause = PAUSES.0;
    loop {
        let (awaited, task) = look(session, client, id, 0).await?;
        if task.execution.is_some() && task.execution > shown {
            let next = match (beginning, shown) {
                (Beginning::LatestExecution, None) => None,
                _ => find_next(session, client, id, shown).await?,
            };
            if let Some(next) = &next
                && shown.is_some()
            {
                let worker = super::format::visible(&next.worker_name).into_owned();
                session
                    .output
                    .status(format_args!("attempt {} follows, on {worker}", next.attempt));
            }
            let execution = next.map(|next| next.id).or(task.execution);
            if let Some(execution) = execution {
                show_execution(session, client, execution, streams, Extent::ToTheEnd).await?;
            }
            shown = execution;
            pause = PAUSES.0;
            continue;
        }
        if awaited.done {
            return Ok(task);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// The first execution of a task after this one.
async fn find_next(
    session: &Session,
    client: &Client,
    task: TaskId,
    after: Option<ExecutionId>,
) -> Result<Option<ExecutionView>, CliError> {
    let query = ListExecutions {
        task: Some(task),
        cursor: after,
        limit: Some(1),
        ..ListExecutions::default()
    };
    let page = client.list_executions(&query).await.map_err(|e| session.explain(e))?;
    Ok(page.executions.into_iter().next())
}

/// Shows the output of one execution.
pub async fn show_execution(
    session: &Session,
    client: &Client,
    id: ExecutionId,
    streams: Streams,
    extent: Extent,
) -> Result<(), CliError> {
    let stdout = show_stream(session, client, id, Stream::Stdout, Target::Stdout, extent);
    let stderr = show_stream(session, client, id, Stream::Stderr, Target::Stderr, extent);
    match streams {
        Streams::Both => tokio::try_join!(stdout, stderr).map(|_| ()),
        Streams::Only(Stream::Stdout) => stdout.await,
        Streams::Only(Stream::Stderr) => {
            show_stream(session, client, id, Stream::Stderr, Target::Stdout, extent).await
        }
    }
}

/// Which of our streams takes the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Stdout,
    Stderr,
}

async fn show_stream(
    session: &Session,
    client: &Client,
    id: ExecutionId,
    stream: Stream,
    target: Target,
    extent: Extent,
) -> Result<(), CliError> {
    let wait_seconds = match extent {
        Extent::SoFar => None,
        Extent::ToTheEnd => Some(MAX_WAIT),
    };
    let mut offset = 0;
    loop {
        let query = ReadOutput { offset, limit: None, wait_seconds };
        let piece = client.read_output(id, stream, query).await.map_err(|e| session.explain(e))?;
        if piece.offset > offset {
            let dropped = super::format::bytes(piece.offset - offset);
            session.output.status(format_args!(
                "{dropped} of {stream} of execution {id} were dropped here: it passed the output limit"
            ));
        }
        match target {
            Target::Stdout => {
                session.output.bytes(&piece.bytes)?;
                session.output.flush()?;
            }
            Target::Stderr => output::stderr_bytes(&piece.bytes)?,
        }
        offset = piece.end();
        let has_all_so_far = extent == Extent::SoFar && offset >= piece.size;
        if piece.is_last() || has_all_so_far {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::testing::{Answer, Script, ok};
    use crate::cli::testing::{session, task};
    use crate::domain::task::TaskState;

    /// Output of one execution, as the server sends it: everything at once.
    fn output(request: &str, executions: &[(u64, &str)]) -> Option<Answer> {
        let (id, text) = executions
            .iter()
            .find(|(id, _)| request.starts_with(&format!("GET /api/v2/executions/{id}/output/")))?;
        let text = if request.contains("/stdout?") { *text } else { "" };
        let size = text.len();
        let headers = format!("scitq-offset: 0\r\nscitq-size: {size}\r\nscitq-complete: true\r\n");
        assert!(*id > 0);
        Some(Answer::With(headers, text.to_owned()))
    }

    fn awaited(task: &TaskView) -> Answer {
        let task = serde_json::to_string(task).unwrap();
        let done = task.contains("succeeded");
        ok(format!(r#"{{"done":{done},"states":{{}},"task":{task}}}"#))
    }

    fn page(execution: u64, attempt: u32) -> Answer {
        ok(format!(
            r#"{{"executions":[{{"id":{execution},"task":1,"attempt":{attempt},"worker_name":"w",
            "state":"running","assigned_at":"1970-01-01T00:00:00Z",
            "output":{{"stdout":0,"stderr":0}}}}]}}"#
        ))
    }

    #[tokio::test]
    async fn over_retries_it_shows_one_attempt_after_the_other() {
        let mut looks = 0;
        let server = Script::deciding(move |request| {
            if let Some(answer) = output(request, &[(4, "first\n"), (6, "second\n")]) {
                return answer;
            }
            if request.starts_with("GET /api/v2/executions?") {
                let is_first = !request.contains("cursor=4");
                return if is_first { page(4, 1) } else { page(6, 2) };
            }
            looks += 1;
            let running = TaskView { state: TaskState::Running, ..task(1) };
            awaited(&match looks {
                1 => task(1),
                // The second attempt is under way when the first is seen.
                2..=4 => TaskView { execution: Some(ExecutionId(6)), ..running },
                _ => TaskView {
                    state: TaskState::Succeeded,
                    execution: Some(ExecutionId(6)),
                    ..task(1)
                },
            })
        })
        .await;
        let (session, kept) = session(&server);
        let ended = follow_task(
            &session,
            &session.client,
            TaskId(1),
            Beginning::FirstExecution,
            Streams::Only(Stream::Stdout),
        );
        assert_eq!(ended.await.unwrap().state, TaskState::Succeeded);
        assert_eq!(kept.text(), "first\nsecond\n");
    }

    #[tokio::test]
    async fn bytes_that_were_dropped_are_passed_over() {
        let server = Script::deciding(|request| {
            let (offset, text) =
                if request.contains("offset=0") { (0, "head") } else { (1_000, "tail") };
            let headers =
                format!("scitq-offset: {offset}\r\nscitq-size: 1004\r\nscitq-complete: true\r\n");
            Answer::With(headers, text.to_owned())
        })
        .await;
        let (session, kept) = session(&server);
        let streams = Streams::Only(Stream::Stdout);
        let id = ExecutionId(1);
        show_execution(&session, &session.client, id, streams, Extent::SoFar).await.unwrap();
        assert_eq!(kept.text(), "headtail");
    }
}
