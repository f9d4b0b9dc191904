//! Queueing the tasks.

use super::args::LaunchArgs;
use super::plan::{Plan, plan_launch};
use crate::api::task::{CreatedTasks, WaitForTasks};
use crate::cli::app::GlobalArgs;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::cli::wait::{Watch, watch_tasks};
use crate::domain::TaskId;

/// Most ids that are printed on a terminal one by one.
const FEW: usize = 20;

/// Queues the tasks, prints their ids, and waits for them where that is asked for.
pub async fn cmd_launch(global: &GlobalArgs, args: LaunchArgs) -> Result<u8, CliError> {
    let Plan { request, warnings } = plan_launch(&args)?;
    let output = global.output();
    for warning in warnings {
        output.voice().warning(warning);
    }
    if args.then.test {
        output.json(&request)?;
        output.flush()?;
        return Ok(0);
    }
    if request.tasks.is_empty() {
        output.status("standard input has no line: no task was queued");
        return Ok(0);
    }
    let session = Session::open(global)?;
    let created = session.client.create_tasks(&request).await.map_err(|e| session.explain(e))?;
    if created.ids.len() != request.tasks.len() {
        return Err(CliError::internal("the server did not tell an id for each task"));
    }
    drop(request);
    announce(&session, &args, &created.ids)?;
    if args.then.wait || args.then.follow {
        return wait(&session, &args, &created.ids).await;
    }
    if args.then.json {
        print_json(&session, &args, &created).await?;
    } else if session.output.is_terminal() {
        session.output.status(hint(&args, &created.ids));
    }
    Ok(0)
}

async fn wait(session: &Session, args: &LaunchArgs, ids: &[TaskId]) -> Result<u8, CliError> {
    let watch = if args.then.follow { Watch::Output } else { Watch::Ending };
    let code = watch_tasks(session, ids, watch, args.then.wait_limit).await?;
    if args.then.json {
        let printed = match ids {
            [id] if !is_many(args) => print_task(session, *id).await,
            ids => print_ending(session, ids).await,
        };
        printed.map_err(CliError::while_waiting)?;
    }
    Ok(code)
}

/// Prints the ids: on standard output, unless that belongs to the tasks or to JSON.
fn announce(session: &Session, args: &LaunchArgs, ids: &[TaskId]) -> Result<(), CliError> {
    let output = &session.output;
    if args.then.follow || args.then.json {
        output.status(named(ids));
        return Ok(());
    }
    if output.is_terminal() && ids.len() > FEW {
        return Ok(());
    }
    ids.iter().try_for_each(|id| output.line(id))?;
    output.flush()
}

/// What a person may do next.
fn hint(args: &LaunchArgs, ids: &[TaskId]) -> String {
    match ids {
        [id] => format!("follow it with `scitq manage task output --follow {id}`"),
        ids => {
            let batch = args.task.batch.clone().unwrap_or_default();
            let batch = shlex::try_quote(batch.as_str()).unwrap_or_default();
            let named = named(ids);
            format!("{named} queued; see them with `scitq manage task list --batch {batch}`")
        }
    }
}

fn named(ids: &[TaskId]) -> String {
    match ids {
        [id] => format!("task {id}"),
        [first, .., last] => format!("{} tasks, {first} to {last}", ids.len()),
        [] => "no task".to_owned(),
    }
}

/// Whether the form of the answer is that for many tasks, however many there are.
const fn is_many(args: &LaunchArgs) -> bool {
    args.many.each || args.many.array.is_some()
}

async fn print_json(
    session: &Session,
    args: &LaunchArgs,
    created: &CreatedTasks,
) -> Result<(), CliError> {
    match created.ids.as_slice() {
        [id] if !is_many(args) => print_task(session, *id).await,
        _ => {
            session.output.json(created)?;
            session.output.flush()
        }
    }
}

async fn print_task(session: &Session, id: TaskId) -> Result<(), CliError> {
    let task = session.client.task(id).await.map_err(|e| session.explain(e))?;
    session.output.json(&task)?;
    session.output.flush()
}

/// How many tasks ended in which way.
async fn print_ending(session: &Session, ids: &[TaskId]) -> Result<(), CliError> {
    let request = WaitForTasks { ids: ids.to_vec(), timeout_seconds: 0 };
    let ended = session.client.wait_for_tasks(&request).await.map_err(|e| session.explain(e))?;
    session.output.json(&ended)?;
    session.output.flush()
}
