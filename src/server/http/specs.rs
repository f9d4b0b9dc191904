//! Specifications as they come in: completed by their batches, checked, and put
//! into the form that is stored.

use std::collections::BTreeMap;

use crate::domain::TaskId;
use crate::domain::batch::{BatchName, BatchSettings};
use crate::domain::check::{MAX_SPEC, SpecError};
use crate::domain::demand::Demand;
use crate::domain::task::{Hold, TaskSpec, Until};
use crate::domain::uri::{Uri, UriError};
use crate::storage::{self, StorageError};

use super::super::engine::command::NewTask;
use super::super::engine::state::Requirement;
use super::App;
use super::error::{ApiError, ApiResult};

/// New tasks, which take from their batches what they do not say themselves.
pub(in crate::server) async fn prepare_all(
    app: &App,
    specs: Vec<TaskSpec>,
) -> ApiResult<Vec<NewTask>> {
    let mut names: Vec<BatchName> = Vec::new();
    for spec in &specs {
        if names.last() != Some(&spec.batch) {
            names.push(spec.batch.clone());
        }
    }
    let settings: BTreeMap<BatchName, BatchSettings> = app
        .engine
        .query(|state| {
            let known = |name: BatchName| {
                let settings = state.find_batch(&name)?.settings.clone();
                Some((name, settings))
            };
            names.into_iter().filter_map(known).collect()
        })
        .await?;
    let mut tasks = Vec::with_capacity(specs.len());
    for (position, mut spec) in specs.into_iter().enumerate() {
        if let Some(settings) = settings.get(&spec.batch) {
            settings.defaults.complete(&mut spec);
            spec.output_limit = spec.output_limit.or(settings.output_limit);
        }
        let task = prepare(spec)
            .map_err(|problem| ApiError::invalid(format!("tasks[{position}]: {problem}")))?;
        tasks.push(task);
    }
    Ok(tasks)
}

/// Checks a spec and puts it into the form that is stored.
pub(in crate::server) fn prepare(spec: TaskSpec) -> Result<NewTask, String> {
    spec.check().map_err(|error| error.to_string())?;
    check_addresses(&spec)?;
    let text = serde_json::to_string(&spec).map_err(|error| error.to_string())?;
    if text.len() > MAX_SPEC {
        return Err(SpecError::LongSpec { length: text.len() }.to_string());
    }
    Ok(NewTask {
        demand: Demand::of(&spec),
        after: requirements(&spec),
        name: spec.name,
        batch: spec.batch,
        retry: spec.retry.unwrap_or(0),
        priority: spec.priority.unwrap_or(0),
        tags: spec.tags,
        after_batch: spec.after_batch,
        hold: Hold::No,
        spec: text.into(),
    })
}

/// The tasks that a task names as required.
fn requirements(spec: &TaskSpec) -> Vec<Requirement> {
    let until = |until| move |task: &TaskId| Requirement { task: *task, until };
    let after = spec.after.iter().map(until(Until::Success));
    after.chain(spec.after_any.iter().map(until(Until::End))).collect()
}

/// Whether the data of a task is where some agent can get it.
fn check_addresses(spec: &TaskSpec) -> Result<(), String> {
    let check = |text: &String, check: fn(&Uri) -> Result<(), StorageError>| {
        let uri: Uri = text.parse().map_err(|error: UriError| error.to_string())?;
        check(&uri).map_err(|error| error.to_string())
    };
    spec.input.iter().try_for_each(|uri| check(uri, storage::check_input))?;
    spec.resource.iter().try_for_each(|uri| check(uri, storage::check_resource))?;
    spec.output.iter().try_for_each(|uri| check(uri, storage::check_output))
}
