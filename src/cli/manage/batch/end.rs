//! Ending all commands of batches.

use super::list::count;
use super::select::{explain, read_batch};
use super::tell;
use crate::api::batch::BatchView;
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::task::TaskState;

/// How commands are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With time to clean up.
    Stop,
    Kill,
}

/// Asks, pauses each of the batches and ends its commands.
pub async fn end(
    session: &Session,
    names: &[BatchName],
    consent: Consent,
    how: End,
) -> Result<(), CliError> {
    for name in names {
        if !consent.is_given() {
            let batch = read_batch(session, name).await?.batch;
            ask::confirm(consent, &question(&batch, how))?;
        }
        let answer = match how {
            End::Stop => session.client.stop_batch(name).await,
            End::Kill => session.client.kill_batch(name).await,
        };
        match answer {
            Ok(changed) => {
                let done = match how {
                    End::Stop => "paused, tasks stopped:",
                    End::Kill => "paused, tasks killed:",
                };
                tell(session, name, done, changed.tasks)?;
            }
            Err(error) => return Err(explain(session, error, name).await),
        }
    }
    Ok(())
}

fn question(batch: &BatchView, how: End) -> String {
    let active: u64 = crate::cli::manage::change::ACTIVE.iter().map(|s| count(batch, *s)).sum();
    let tasks = format::counted(active, "task", "tasks");
    let running = count(batch, TaskState::Running);
    let verb = match how {
        End::Stop => "stop",
        End::Kill => "kill",
    };
    format!(
        "{verb} {tasks} of batch {} that workers have ({running} running), and pause the batch",
        batch.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_says_that_the_batch_is_paused_as_well() {
        let mut batch = crate::cli::testing::batch("qc");
        batch.tasks.extend([(TaskState::Running, 3), (TaskState::Accepted, 1)]);
        assert_eq!(
            question(&batch, End::Stop),
            "stop 4 tasks of batch qc that workers have (3 running), and pause the batch"
        );
    }
}
