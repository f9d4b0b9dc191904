//! `scitq manage task wait`.

use std::time::Duration;

use clap::Args;

use crate::api::Client;
use crate::api::client::Patience;
use crate::api::task::{AwaitedTasks, WaitForTasks};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::manage::select::TaskSelection;
use crate::cli::parse;
use crate::cli::progress::Counter;
use crate::cli::session::{Session, tell_outage};
use crate::cli::wait::{Watch, watch_task};
use crate::domain::TaskId;
use crate::domain::task::TaskState;

/// Wait until tasks have ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task wait 12
  scitq manage task wait --batch qc && scitq launch multiqc /data/qc
  scitq launch --each -- gzip {} < files | scitq manage task wait -

For one task the exit code is that of its command, as with `scitq launch
--wait`. For several it is 0 when all have succeeded and 1 when one has failed.
Of those that fit a description, the ones that are there now are awaited.")]
pub struct WaitArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    /// Give up when the server is away for longer [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    wait_limit: Option<Duration>,
}

/// Seconds that one request waits while its progress is shown, and when nobody watches.
const SECONDS: (u32, u32) = (1, 60);

pub async fn cmd_wait(session: &Session, args: WaitArgs) -> Result<u8, CliError> {
    let selected = args.tasks.find(session, &[]).await?;
    match selected.ids() {
        [id] => watch_task(session, *id, Watch::Ending, args.wait_limit).await,
        ids => wait_for_all(session, ids, args.wait_limit).await,
    }
}

/// Waits for several tasks, and gives 0 if all have succeeded and 1 else.
async fn wait_for_all(
    session: &Session,
    ids: &[TaskId],
    limit: Option<Duration>,
) -> Result<u8, CliError> {
    let voice = session.output.voice();
    let notice = std::sync::Arc::new(move |error: &_| tell_outage(voice, error));
    let client = session.client.clone().with_patience(Patience { limit, notice: Some(notice) });
    let counter = Counter::new(voice, ids.len(), "tasks");
    let ended = tokio::select! {
        ended = wait_to_end(session, &client, ids, &counter) => {
            ended.map_err(CliError::while_waiting)?
        }
        () = interrupted() => {
            drop(counter);
            session.output.status("the tasks go on");
            return Ok(exit::DETACHED);
        }
    };
    let count = |state| ended.states.get(&state).copied().unwrap_or(0);
    let (succeeded, failed) = (count(TaskState::Succeeded), count(TaskState::Failed));
    drop(counter);
    session.output.status(format_args!("{succeeded} succeeded, {failed} failed"));
    Ok(u8::from(failed > 0))
}

/// Resolves with Ctrl-C; never where it cannot be heard of.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn wait_to_end(
    session: &Session,
    client: &Client,
    ids: &[TaskId],
    counter: &Counter,
) -> Result<AwaitedTasks, CliError> {
    let timeout_seconds = if counter.is_shown() { SECONDS.0 } else { SECONDS.1 };
    let request = WaitForTasks { ids: ids.to_vec(), timeout_seconds };
    loop {
        let awaited = client.wait_for_tasks(&request).await.map_err(|e| session.explain(e))?;
        if awaited.done {
            return Ok(awaited);
        }
        let ended = awaited.states.iter().filter(|(state, _)| state.is_final());
        counter.reach(ended.map(|(_, count)| count).sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::client::testing::{Script, ok};
    use crate::cli::testing::session;

    async fn code(answers: &[&str]) -> Result<u8, CliError> {
        let server = Script::start(answers.iter().map(|answer| ok(*answer)).collect()).await;
        let (session, _) = session(&server);
        wait_for_all(&session, &[TaskId(1), TaskId(2)], Some(Duration::ZERO)).await
    }

    #[tokio::test]
    async fn one_failure_of_several_decides_the_exit_code() {
        let good = r#"{"done":true,"states":{"succeeded":2,"failed":0}}"#;
        let bad = r#"{"done":true,"states":{"succeeded":1,"failed":1}}"#;
        let not_yet = r#"{"done":false,"states":{"succeeded":1,"running":1}}"#;
        assert_eq!(code(&[not_yet, good]).await, Ok(0));
        assert_eq!(code(&[bad]).await, Ok(1));
    }
}
