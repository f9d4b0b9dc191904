//! Queueing the task.

use super::args::LaunchArgs;
use super::spec::task_spec;
use crate::api::task::CreateTasks;
use crate::cli::app::GlobalArgs;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::cli::wait::{Watch, watch_task};
use crate::domain::TaskId;

/// Queues the task, prints its id, and waits for it where that is asked for.
pub async fn cmd_launch(global: &GlobalArgs, args: LaunchArgs) -> Result<u8, CliError> {
    let request = CreateTasks { tasks: vec![task_spec(&args)?] };
    if args.test {
        let output = global.output();
        output.json(&request)?;
        output.flush()?;
        return Ok(0);
    }
    let session = Session::open(global)?;
    let created = session.client.create_tasks(&request).await.map_err(|e| session.explain(e))?;
    let Some(&id) = created.ids.first() else {
        return Err(CliError::internal("the server queued the task and told no id"));
    };
    if args.wait || args.follow {
        let watch = if args.follow { Watch::Output } else { Watch::Ending };
        announce(&session, &args, id)?;
        let code = watch_task(&session, id, watch, args.wait_limit).await?;
        if args.json {
            print_task(&session, id).await.map_err(CliError::while_waiting)?;
        }
        return Ok(code);
    }
    if args.json {
        print_task(&session, id).await?;
        return Ok(0);
    }
    announce(&session, &args, id)?;
    if session.output.is_terminal() {
        session
            .output
            .status(format_args!("follow it with `scitq manage task output --follow {id}`"));
    }
    Ok(0)
}

/// Prints the id: on standard output, unless that belongs to the task or to JSON.
fn announce(session: &Session, args: &LaunchArgs, id: TaskId) -> Result<(), CliError> {
    if args.follow || args.json {
        session.output.status(format_args!("task {id}"));
        return Ok(());
    }
    session.output.line(id)?;
    session.output.flush()
}

async fn print_task(session: &Session, id: TaskId) -> Result<(), CliError> {
    let task = session.client.task(id).await.map_err(|e| session.explain(e))?;
    session.output.json(&task)?;
    session.output.flush()
}
