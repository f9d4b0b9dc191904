//! What is kept for a time only: output, and tasks that have ended.

use std::sync::Arc;
use std::time::Duration;

use crate::api::task::{Dependents, Unfit};
use crate::domain::{ExecutionId, Timestamp};

use super::engine::Refusal;
use super::engine::command::{Command, Reply};
use super::http::App;
use super::output::OutputError;
use super::store::StoreError;

/// So much is looked at and deleted at once, so that others get their turn.
const AT_ONCE: u32 = 500;
/// Longest and shortest pause between two rounds.
const PAUSES: (Duration, Duration) = (Duration::from_hours(1), Duration::from_secs(1));
/// The name under which deletions are recorded.
const ACTOR: &str = "retention";

/// For how long things are kept after their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// What commands wrote; none: as long as the task.
    pub output: Option<Duration>,
    /// Tasks that have ended; none: until somebody deletes them.
    pub finished: Option<Duration>,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Default for Retention {
    fn default() -> Self {
        Self { output: Some(Duration::from_hours(90 * 24)), finished: None }
    }
}

impl Retention {
    /// A quarter of the shortest time, so that nothing stays much longer.
    fn pause(self) -> Option<Duration> {
        let shortest = [self.output, self.finished].into_iter().flatten().min()?;
        Some((shortest / 4).clamp(PAUSES.1, PAUSES.0))
    }
}

/// Deletes what has been kept for long enough, in rounds. Ends with the server.
pub async fn keep(app: Arc<App>) {
    let Some(pause) = app.retention.pause() else { return };
    let mut ticks = tokio::time::interval(pause);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stop_asked() => return,
        }
        if let Err(error) = round(&app).await {
            tracing::warn!(%error, "what is to be deleted by its age stays until the next round");
        }
    }
}

async fn round(app: &App) -> Result<(), RoundError> {
    let now = app.clock.now().wall;
    if let Some(time) = app.retention.finished {
        delete_tasks(app, before(now, time)).await?;
    }
    if let Some(time) = app.retention.output {
        delete_output(app, before(now, time)).await?;
    }
    Ok(())
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(micros))
}

async fn delete_tasks(app: &App, before: Timestamp) -> Result<(), RoundError> {
    loop {
        let tasks = app.store.readers.ended_tasks(before, AT_ONCE).await?;
        if tasks.is_empty() {
            return Ok(());
        }
        let command =
            Command::DeleteTasks { tasks, dependents: Dependents::Refuse, unfit: Unfit::Skip };
        match app.engine.apply(&ACTOR.into(), command, None).await? {
            Reply::Tasks(deleted) if !deleted.is_empty() => {
                tracing::info!(count = deleted.len(), "deleted tasks that had ended long ago");
            }
            // They have changed since they were read.
            _ => return Ok(()),
        }
    }
}

/// Goes through all output in the order of executions, up to the first part in
/// which all have begun too late.
async fn delete_output(app: &App, before: Timestamp) -> Result<(), RoundError> {
    let mut after = ExecutionId(0);
    loop {
        let with_output = app.output.list_executions(after, AT_ONCE).await?;
        let Some(last) = with_output.last().copied() else { return Ok(()) };
        after = last;
        let times = app.store.readers.execution_times(with_output).await?;
        let old: Vec<ExecutionId> = times
            .iter()
            .filter(|times| times.finished_at.is_some_and(|end| end < before))
            .map(|times| times.id)
            .collect();
        if !old.is_empty() {
            let count = old.len();
            app.output.delete(old).await?;
            tracing::info!(count, "deleted output of executions that had ended long ago");
        }
        if !times.is_empty() && times.iter().all(|times| times.assigned_at >= before) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_as_frequent_as_the_shortest_time_asks_for() {
        let pause = |output: Option<u64>, finished: Option<u64>| {
            let of = |seconds: Option<u64>| seconds.map(Duration::from_secs);
            Retention { output: of(output), finished: of(finished) }.pause()
        };
        assert_eq!(pause(None, None), None);
        assert_eq!(Retention::default().pause(), Some(Duration::from_hours(1)));
        assert_eq!(pause(Some(1), None), Some(Duration::from_secs(1)));
        assert_eq!(pause(Some(999_999), Some(400)), Some(Duration::from_secs(100)));
    }
}
