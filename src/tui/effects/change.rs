//! Changes that the server is asked for, and the outcome in words.

use super::fetch::with_worker;
use super::hands::Hands;
use crate::api::task::{
    ChangedTasks, DeleteTasks, EditTask, EditTasks, ListTasks, MoveTasks, SignalTasks, TaskIds,
    Unfit,
};
use crate::api::worker::CleanWorker;
use crate::api::{Client, ClientError, MAX_PAGE};
use crate::domain::{BatchName, TaskId};
use crate::tui::effect::{BatchVerb, Change, Target, TaskVerb};

/// Most tasks in one request.
const CHUNK: usize = 10_000;

pub(super) async fn change(hands: &Hands, change: Change) -> Result<String, String> {
    carry_out(hands, change).await.map_err(|error| match &error {
        ClientError::Refused { body } => match &body.hint {
            Some(hint) => format!("{} ({hint})", body.message),
            None => body.message.clone(),
        },
        error => error.to_string(),
    })
}

async fn carry_out(hands: &Hands, change: Change) -> Result<String, ClientError> {
    let (word, tail, target) = match &change {
        Change::Tasks(verb, target) => {
            let word = match verb {
                TaskVerb::Relaunch => "relaunched",
                TaskVerb::Pause => "paused",
                TaskVerb::Resume => "resumed",
                TaskVerb::Cancel => "cancelled",
            };
            (word.to_owned(), String::new(), target)
        }
        Change::Signal(signal, target) => (format!("sent SIG{signal} to"), String::new(), target),
        Change::MoveTasks(batch, target) => ("moved".to_owned(), format!(" to `{batch}`"), target),
        Change::DeleteTasks(_, target) => ("deleted".to_owned(), String::new(), target),
        Change::EditTask { task, revision, spec, running, ended } => {
            let edit = EditTask { id: *task, spec: (**spec).clone(), revision: Some(*revision) };
            let edits = EditTasks { edits: vec![edit], running: *running, ended: *ended };
            hands.client.edit_tasks(&edits).await?;
            return Ok(format!("edited task {task}"));
        }
        _ => return carry_out_other(hands, change).await,
    };
    if let Target::Ids(ids) = target
        && let [id] = ids.as_slice()
    {
        act(&hands.client, &change, vec![*id], Unfit::Refuse).await?;
        return Ok(format!("{word} task {id}{tail}"));
    }
    let ids = ids_of(hands, target).await?;
    let mut reached = 0;
    for some in ids.chunks(CHUNK) {
        reached += act(&hands.client, &change, some.to_vec(), Unfit::Skip).await?.ids.len();
    }
    let left = ids.len() - reached.min(ids.len());
    let rest = if left == 0 { String::new() } else { format!("; it did not apply to {left}") };
    Ok(format!("{word} {reached} tasks{tail}{rest}"))
}

/// One request for some tasks.
async fn act(
    client: &Client,
    change: &Change,
    ids: Vec<TaskId>,
    unfit: Unfit,
) -> Result<ChangedTasks, ClientError> {
    match change {
        Change::Tasks(verb, _) => {
            let tasks = TaskIds { ids, unfit };
            match verb {
                TaskVerb::Relaunch => client.relaunch_tasks(&tasks).await,
                TaskVerb::Pause => client.pause_tasks(&tasks).await,
                TaskVerb::Resume => client.resume_tasks(&tasks).await,
                TaskVerb::Cancel => client.cancel_tasks(&tasks).await,
            }
        }
        Change::Signal(signal, _) => {
            client.signal_tasks(&SignalTasks { ids, signal: *signal, unfit }).await
        }
        Change::MoveTasks(batch, _) => {
            client.move_tasks(&MoveTasks { ids, batch: batch.clone() }).await
        }
        Change::DeleteTasks(dependents, _) => {
            client.delete_tasks(&DeleteTasks { ids, dependents: *dependents, unfit }).await
        }
        // Not changes of tasks that are named by a target.
        _ => Ok(ChangedTasks { ids: Vec::new() }),
    }
}

async fn carry_out_other(hands: &Hands, change: Change) -> Result<String, ClientError> {
    let client = &hands.client;
    match change {
        Change::UpdateWorkers(ids, update) => {
            let mut told = String::new();
            for id in &ids {
                let worker = client.update_worker(*id, &update).await?;
                told = format!(
                    "{}: batch `{}`, concurrency {}, prefetch {}, {}",
                    worker.name, worker.batch, worker.concurrency, worker.prefetch, worker.wanted
                );
            }
            Ok(if ids.len() == 1 { told } else { format!("changed {} workers", ids.len()) })
        }
        Change::DeleteWorkers(ids) => {
            for id in &ids {
                client.delete_worker(*id).await?;
            }
            Ok(format!("destroyed {}", workers(ids.len())))
        }
        Change::CleanWorkers(ids, what) => {
            for id in &ids {
                client.clean_worker(*id, CleanWorker { what }).await?;
            }
            Ok(format!("told {} to clean up", workers(ids.len())))
        }
        Change::RestartWorkers(ids) => {
            for id in &ids {
                client.restart_worker(*id).await?;
            }
            Ok(format!("told {} to restart the agent", workers(ids.len())))
        }
        Change::Batches(names, verb) => change_batches(hands, &names, verb).await,
        Change::Deploy(deploy) => {
            let deployed = client.deploy_workers(&deploy).await?;
            Ok(format!("hiring {}", workers(deployed.workers.len())))
        }
        Change::CancelJobs(ids) => {
            for id in &ids {
                client.cancel_job(*id).await?;
            }
            Ok(format!("cancelled {}", jobs(ids.len())))
        }
        Change::RetryJobs(ids) => {
            for id in &ids {
                client.retry_job(*id).await?;
            }
            Ok(format!("retried {}", jobs(ids.len())))
        }
        Change::DeleteJobs(ids) => {
            let count = ids.len();
            client.delete_jobs(ids).await?;
            Ok(format!("forgot {}", jobs(count)))
        }
        // The rest is changes of tasks.
        _ => Ok(String::new()),
    }
}

async fn change_batches(
    hands: &Hands,
    names: &[BatchName],
    verb: BatchVerb,
) -> Result<String, ClientError> {
    let client = &hands.client;
    let mut reached = 0;
    for name in names {
        let changed = match verb {
            BatchVerb::Pause(with) => client.pause_batch(name, with).await?,
            BatchVerb::Go(with) => client.go_batch(name, with).await?,
            BatchVerb::Stop => client.stop_batch(name).await?,
            BatchVerb::Kill => client.kill_batch(name).await?,
            BatchVerb::Retry => client.retry_batch(name).await?,
            BatchVerb::Delete(delete) => client.delete_batch(name, delete).await?,
        };
        reached += changed.tasks;
    }
    let word = match verb {
        BatchVerb::Pause(_) => "paused",
        BatchVerb::Go(_) => "let go",
        BatchVerb::Stop => "stopped",
        BatchVerb::Kill => "killed",
        BatchVerb::Retry => "retried",
        BatchVerb::Delete(_) => "deleted",
    };
    let what = match names {
        [name] => format!("`{name}`"),
        many => format!("{} batches", many.len()),
    };
    let tasks = if reached == 1 { "1 task" } else { "tasks" };
    let count = if reached == 1 { String::new() } else { format!("{reached} ") };
    Ok(format!("{word} {what}: {count}{tasks}"))
}

fn workers(count: usize) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}

fn jobs(count: usize) -> String {
    if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") }
}

/// All tasks of a target.
async fn ids_of(hands: &Hands, target: &Target) -> Result<Vec<TaskId>, ClientError> {
    let query = match target {
        Target::Ids(ids) => return Ok(ids.clone()),
        Target::Found(query, _) => &query.0,
    };
    let mut ids = Vec::new();
    let Some(mut list) = with_worker(hands, query).await? else { return Ok(ids) };
    list.limit = Some(MAX_PAGE);
    loop {
        let page = hands.client.list_tasks(&list).await?;
        ids.extend(page.tasks.iter().map(|task| task.id));
        match page.next {
            Some(next) => list = ListTasks { cursor: Some(next), ..list },
            None => return Ok(ids),
        }
    }
}
