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
