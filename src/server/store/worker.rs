//! Table `worker`.

use rusqlite::{Connection, Transaction, params};
use rustc_hash::FxHashMap;

use crate::domain::worker::WorkerSettings;
use crate::domain::{Timestamp, WorkerId};

use super::super::engine::change::WorkerRow;
use super::{StoreError, count_from_sql, count_to_sql, from_json, json, word};

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &FxHashMap<WorkerId, Option<WorkerRow>>,
) -> rusqlite::Result<()> {
    let mut write = transaction.prepare_cached(
        "INSERT INTO worker (id, name, machine, batch, concurrency, prefetch, wanted, version,
             succeeded, failed, registered_at, created_by, failure, hire)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (id) DO UPDATE SET machine = ?3, batch = ?4, concurrency = ?5, prefetch = ?6,
             wanted = ?7, version = ?8, succeeded = ?9, failed = ?10, failure = ?13,
             hire = ?14",
    )?;
    for (id, row) in rows {
        let Some(row) = row else {
            transaction.execute("DELETE FROM worker WHERE id = ?1", [id.to_sql()])?;
            continue;
        };
        write.execute(params![
            id.to_sql(),
            &*row.name,
            json(&row.machine)?,
            row.settings.batch.as_str(),
            row.settings.concurrency,
            row.settings.prefetch,
            <&str>::from(row.wanted),
            row.version,
            count_to_sql(row.succeeded),
            count_to_sql(row.failed),
            row.registered_at.0,
            &*row.created_by,
            row.failure.as_deref(),
            row.hire.as_ref().map(json).transpose()?,
        ])?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> Result<Vec<(WorkerId, WorkerRow)>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, name, machine, batch, concurrency, prefetch, wanted, version,
             succeeded, failed, registered_at, created_by, failure, hire
         FROM worker",
    )?;
    let mut rows = statement.query([])?;
    let mut workers = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let machine: String = row.get(2)?;
        let batch: String = row.get(3)?;
        let wanted: String = row.get(6)?;
        let created_by: String = row.get(11)?;
        workers.push((
            WorkerId::from_sql(row.get(0)?),
            WorkerRow {
                name: name.into(),
                machine: from_json("machine", machine)?,
                settings: WorkerSettings {
                    batch: word("batch name", &batch)?,
                    concurrency: row.get(4)?,
                    prefetch: row.get(5)?,
                },
                wanted: word("wanted state", &wanted)?,
                failure: row.get::<_, Option<String>>(12)?.map(Into::into),
                version: row.get(7)?,
                succeeded: count_from_sql(row.get(8)?),
                failed: count_from_sql(row.get(9)?),
                registered_at: Timestamp(row.get(10)?),
                created_by: created_by.into(),
                hire: row
                    .get::<_, Option<String>>(13)?
                    .map(|hire| from_json("hire of a worker", hire))
                    .transpose()?,
            },
        ));
    }
    Ok(workers)
}
