//! Table `meta`: who this store is, and which ids come next.

use rusqlite::{Connection, Transaction};

use crate::domain::{BatchId, Epoch, ExecutionId, JobId, StoreId, TaskId, TokenId, WorkerId};

use super::super::engine::change::NextIds;
use super::StoreError;

/// Fills a new database; leaves any other as it is.
pub(super) fn initialise(connection: &Connection, id: &StoreId) -> Result<(), StoreError> {
    let first = |key: &str, value: &str| {
        connection.execute("INSERT OR IGNORE INTO meta (key, value) VALUES (?1, ?2)", (key, value))
    };
    first("store", &id.0)?;
    first("epoch", "1")?;
    for key in
        ["next_task", "next_execution", "next_worker", "next_batch", "next_token", "next_job"]
    {
        first(key, "1")?;
    }
    Ok(())
}

pub(super) fn load_identity(connection: &Connection) -> Result<(StoreId, Epoch), StoreError> {
    let store = get(connection, "store")?;
    Ok((StoreId(store), Epoch(get_number(connection, "epoch")?)))
}

pub(super) fn load_next_ids(connection: &Connection) -> Result<NextIds, StoreError> {
    Ok(NextIds {
        task: TaskId(get_number(connection, "next_task")?),
        execution: ExecutionId(get_number(connection, "next_execution")?),
        worker: WorkerId(get_number(connection, "next_worker")?),
        batch: BatchId(get_number(connection, "next_batch")?),
        token: TokenId(get_number(connection, "next_token")?),
        job: JobId(get_number(connection, "next_job")?),
    })
}

pub(super) fn write_next_ids(
    transaction: &Transaction<'_>,
    next: &NextIds,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1")?;
    for (key, id) in [
        ("next_task", next.task.0),
        ("next_execution", next.execution.0),
        ("next_worker", next.worker.0),
        ("next_batch", next.batch.0),
        ("next_token", next.token.0),
        ("next_job", next.job.0),
    ] {
        statement.execute((key, id.to_string()))?;
    }
    Ok(())
}

fn get(connection: &Connection, key: &str) -> Result<String, StoreError> {
    Ok(connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?)
}

fn get_number(connection: &Connection, key: &'static str) -> Result<u64, StoreError> {
    let text = get(connection, key)?;
    text.parse().map_err(|_| StoreError::Malformed { what: key, value: text })
}
