//! What people want of workers.

use super::select::SomeWorkers;
use crate::api::worker::{UpdateWorker, WorkerView};
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::worker::WantedState;

/// Sets what is wanted of workers, and gives them as they are then.
pub async fn want(
    session: &Session,
    workers: &SomeWorkers,
    wanted: WantedState,
) -> Result<Vec<WorkerView>, CliError> {
    let update = UpdateWorker { wanted: Some(wanted), ..UpdateWorker::default() };
    let mut changed = Vec::new();
    for worker in workers.find(session).await? {
        let answer = session.client.update_worker(worker.id, &update).await;
        changed.push(answer.map_err(|e| session.explain(e))?);
    }
    Ok(changed)
}
