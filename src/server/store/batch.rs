//! Table `batch`.

use rusqlite::{Connection, Transaction, params};
use rustc_hash::FxHashMap;
use strum::IntoEnumIterator;

use crate::domain::BatchId;
use crate::domain::task::TaskState;

use super::super::engine::change::BatchRow;
use super::super::engine::state::Counters;
use super::{StoreError, count_from_sql, count_to_sql, word};

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &FxHashMap<BatchId, BatchRow>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO batch (id, name, waiting, pending, assigned, accepted, running, paused, succeeded, failed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET name = ?2, waiting = ?3, pending = ?4, assigned = ?5,
             accepted = ?6, running = ?7, paused = ?8, succeeded = ?9, failed = ?10",
    )?;
    for (id, row) in rows {
        let count = |state| count_to_sql(row.counters.get(state));
        statement.execute(params![
            id.to_sql(),
            row.name.as_str(),
            count(TaskState::Waiting),
            count(TaskState::Pending),
            count(TaskState::Assigned),
            count(TaskState::Accepted),
            count(TaskState::Running),
            count(TaskState::Paused),
            count(TaskState::Succeeded),
            count(TaskState::Failed),
        ])?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> Result<Vec<(BatchId, BatchRow)>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, name, waiting, pending, assigned, accepted, running, paused, succeeded, failed FROM batch",
    )?;
    let mut rows = statement.query([])?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let mut counters = Counters::default();
        for (column, state) in (2..).zip(TaskState::iter()) {
            counters.set(state, count_from_sql(row.get(column)?));
        }
        batches.push((
            BatchId::from_sql(row.get(0)?),
            BatchRow { name: word("batch name", &name)?, counters },
        ));
    }
    Ok(batches)
}
