//! Table `batch`.

use rusqlite::{Connection, Transaction, params};
use rustc_hash::FxHashMap;
use strum::IntoEnumIterator;

use crate::domain::BatchId;
use crate::domain::task::TaskState;

use super::super::engine::change::BatchRow;
use super::super::engine::state::Counters;
use super::{StoreError, count_from_sql, count_to_sql, from_json, json, word};

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &FxHashMap<BatchId, BatchRow>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO batch (id, name, waiting, pending, assigned, accepted, running, paused,
             succeeded, failed, pause, settings, runtimes, deleted, spent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (id) DO UPDATE SET name = ?2, waiting = ?3, pending = ?4, assigned = ?5,
             accepted = ?6, running = ?7, paused = ?8, succeeded = ?9, failed = ?10, pause = ?11,
             settings = ?12, runtimes = ?13, deleted = ?14, spent = ?15",
    )?;
    // Deleted ones first: another may have taken over the name.
    let (deleted, named): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| row.name.is_none());
    for (id, row) in deleted.into_iter().chain(named) {
        let count = |state| count_to_sql(row.counters.get(state));
        statement.execute(params![
            id.to_sql(),
            // The name of a deleted one is free for another.
            row.name.as_ref().map_or_else(|| format!("/{id}"), ToString::to_string),
            count(TaskState::Waiting),
            count(TaskState::Pending),
            count(TaskState::Assigned),
            count(TaskState::Accepted),
            count(TaskState::Running),
            count(TaskState::Paused),
            count(TaskState::Succeeded),
            count(TaskState::Failed),
            <&str>::from(row.pause),
            json(&row.settings)?,
            json(&row.runtimes)?,
            row.name.is_none(),
            json(&row.spent)?,
        ])?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> Result<Vec<(BatchId, BatchRow)>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, name, waiting, pending, assigned, accepted, running, paused, succeeded, failed,
             pause, settings, runtimes, deleted, spent FROM batch",
    )?;
    let mut rows = statement.query([])?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let mut counters = Counters::default();
        for (column, state) in (2..).zip(TaskState::iter()) {
            counters.set(state, count_from_sql(row.get(column)?));
        }
        let deleted: bool = row.get(13)?;
        let pause: String = row.get(10)?;
        batches.push((
            BatchId::from_sql(row.get(0)?),
            BatchRow {
                name: if deleted { None } else { Some(word("batch name", &name)?) },
                counters,
                pause: word("pause of a batch", &pause)?,
                settings: from_json("settings of a batch", row.get(11)?)?,
                runtimes: from_json("run times of a batch", row.get(12)?)?,
                spent: from_json("costs of a batch", row.get(14)?)?,
            },
        ));
    }
    Ok(batches)
}
