//! Questions to the server.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::hands::Hands;
use super::output;
use crate::api::ClientError;
use crate::api::glance::MAX_TAILS;
use crate::api::hiring::{ListFlavors, ReadJobLog};
use crate::api::task::{CountTasks, ListTasks, TaskSort, TaskView};
use crate::domain::task::TaskState;
use crate::domain::uri::{Uri, UriError};
use crate::domain::{ExecutionId, WorkerId};
use crate::storage::{self, EntryKind, Transfer};
use crate::tui::ansi;
use crate::tui::effect::{Fetch, Reply};
use crate::tui::query::TaskQuery;
use crate::tui::state::{OutputFiles, Tails};

/// How long one looks for the files of a task, and how many are shown.
const FILES_PATIENCE: Duration = Duration::from_secs(30);
const MOST_FILES: usize = 100;

/// Failures that the overview shows.
const FAILURES: u32 = 12;

pub(super) async fn fetch(hands: &Hands, wanted: Fetch) -> Reply {
    let client = &hands.client;
    match wanted {
        Fetch::Status => Reply::Status(client.server_status().await),
        Fetch::Workers => Reply::Workers(client.list_workers().await),
        Fetch::Batches => Reply::Batches(client.list_batches().await),
        Fetch::TaskPage { generation, number, cursor, query } => {
            let result = task_page(hands, query.0).await;
            Reply::TaskPage { generation, number, cursor, result }
        }
        Fetch::Counts { generation, query } => {
            Reply::Counts { generation, result: counts(hands, &query.0).await }
        }
        Fetch::Tails { executions } => Reply::Tails(tails(hands, &executions).await),
        Fetch::Detail { task } => Reply::Detail { task, result: client.task(task).await },
        Fetch::Spec { task, is_outside } => {
            Reply::Spec { task, is_outside, result: client.task(task).await }
        }
        Fetch::Samples { worker } => {
            Reply::Samples { worker, result: client.worker_samples(worker).await }
        }
        Fetch::Failures => Reply::Failures(failures(hands).await),
        Fetch::Latest { workers } => Reply::Latest(latest(hands, &workers).await),
        Fetch::Jobs => Reply::Jobs(client.list_jobs().await),
        Fetch::Recruiters => Reply::Recruiters(client.list_recruiters().await),
        Fetch::Flavors => Reply::Flavors(client.list_flavors(&ListFlavors::default()).await),
        Fetch::JobLog { job, offset } => {
            let read = ReadJobLog { offset, wait_seconds: None };
            Reply::JobLog { job, offset, result: client.job_log(job, read).await }
        }
        Fetch::Files { task, place } => Reply::Files { task, result: files(&place).await },
        Fetch::Output(request) => {
            Reply::Output { request, result: output::read(client, request).await }
        }
    }
}

async fn task_page(
    hands: &Hands,
    query: TaskQuery,
) -> Result<(Vec<TaskView>, Option<String>), ClientError> {
    let Some(list) = with_worker(hands, &query).await? else { return Ok((Vec::new(), None)) };
    let page = hands.client.list_tasks(&list).await?;
    Ok((page.tasks, page.next))
}

/// The query with the worker's id in it. None: there is no such worker.
pub(super) async fn with_worker(
    hands: &Hands,
    query: &TaskQuery,
) -> Result<Option<ListTasks>, ClientError> {
    let mut list = query.list.clone();
    if let Some(name) = &query.worker {
        let Some(id) = find_worker(hands, name).await? else { return Ok(None) };
        list.worker = Some(id);
    }
    Ok(Some(list))
}

async fn find_worker(hands: &Hands, name: &str) -> Result<Option<WorkerId>, ClientError> {
    let known = hands.workers.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
    if known.is_some() {
        return Ok(known);
    }
    let list = hands.client.list_workers().await?;
    let names = list.workers.into_iter().map(|worker| (worker.name, worker.id)).collect();
    let mut workers = hands.workers.lock().unwrap_or_else(PoisonError::into_inner);
    *workers = names;
    Ok(workers.get(name).copied())
}

/// Counts of what the server knows to filter by.
async fn counts(hands: &Hands, query: &TaskQuery) -> Result<BTreeMap<TaskState, u64>, ClientError> {
    let Some(list) = with_worker(hands, query).await? else { return Ok(BTreeMap::new()) };
    Ok(hands.client.count_tasks(&CountTasks::from(&list)).await?.states)
}

async fn tails(
    hands: &Hands,
    executions: &[(ExecutionId, bool)],
) -> Result<BTreeMap<ExecutionId, Tails>, ClientError> {
    let mut found = BTreeMap::new();
    for some in executions.chunks(MAX_TAILS) {
        let ids: Vec<ExecutionId> = some.iter().map(|(id, _)| *id).collect();
        let tails = hands.client.output_tails(&ids).await?.tails;
        for (tail, (_, is_final)) in tails.into_iter().zip(some) {
            let shown = Tails {
                stdout: one_line(&tail.stdout),
                stderr: one_line(&tail.stderr),
                is_final: *is_final,
            };
            found.insert(tail.execution, shown);
        }
    }
    Ok(found)
}

/// Succeeded and failed tasks whose latest execution is on each worker.
async fn latest(
    hands: &Hands,
    workers: &[WorkerId],
) -> Result<BTreeMap<WorkerId, (u64, u64)>, ClientError> {
    let mut found = BTreeMap::new();
    for worker in workers {
        let query = CountTasks {
            worker: Some(*worker),
            state: Some(format!("{},{}", TaskState::Succeeded, TaskState::Failed)),
            ..CountTasks::default()
        };
        let counts = hands.client.count_tasks(&query).await?.states;
        let of = |state: TaskState| counts.get(&state).copied().unwrap_or(0);
        found.insert(*worker, (of(TaskState::Succeeded), of(TaskState::Failed)));
    }
    Ok(found)
}

/// The files at an address, as this machine sees them.
async fn files(place: &str) -> Result<OutputFiles, String> {
    let uri: Uri = place.parse().map_err(|error: UriError| error.to_string())?;
    let transfer = Transfer::default();
    let listing = tokio::time::timeout(FILES_PATIENCE, storage::list(&uri, &transfer)).await;
    let listing = listing
        .map_err(|_| format!("no answer within {} s", FILES_PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    let mut found = OutputFiles { bytes: listing.bytes(), ..OutputFiles::default() };
    for (name, entry) in listing.entries() {
        let EntryKind::File(facts) = &entry.kind else { continue };
        found.count += 1;
        if found.some.len() < MOST_FILES {
            let has_size = entry.remote.as_ref().is_none_or(|remote| remote.has_size);
            let name = name.to_string_lossy().into_owned();
            found.some.push((name, has_size.then_some(facts.bytes)));
        }
    }
    Ok(found)
}

/// A line of output without its colours.
fn one_line(text: &str) -> String {
    ansi::pieces(text.as_bytes()).into_iter().map(|piece| piece.text).collect()
}

async fn failures(hands: &Hands) -> Result<Vec<(TaskView, String)>, ClientError> {
    let query = ListTasks {
        state: Some(TaskState::Failed.to_string()),
        sort: TaskSort::Since,
        reverse: true,
        limit: Some(FAILURES),
        ..ListTasks::default()
    };
    let tasks = hands.client.list_tasks(&query).await?.tasks;
    let executions: Vec<(ExecutionId, bool)> =
        tasks.iter().filter_map(|task| Some((task.execution?, true))).collect();
    let lines = tails(hands, &executions).await?;
    let with_line = |task: TaskView| {
        let tails = task.execution.and_then(|id| lines.get(&id));
        let line = tails.map(|tails| tails.stderr.clone()).unwrap_or_default();
        (task, line)
    };
    Ok(tasks.into_iter().map(with_line).collect())
}
