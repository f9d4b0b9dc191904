//! Table `job`.

use rusqlite::{Connection, Transaction, params};
use rustc_hash::FxHashMap;

use crate::domain::flavor::{FlavorName, ProviderName, RegionName};
use crate::domain::{JobId, Timestamp, WorkerId};

use super::super::engine::hiring::JobRow;
use super::{StoreError, from_json, json, word};

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &FxHashMap<JobId, Option<JobRow>>,
) -> rusqlite::Result<()> {
    let mut write = transaction.prepare_cached(
        "INSERT INTO job (id, action, state, worker, worker_name, order_json, provider, region, flavor,
             tries_left, cancelled, reason, created_at, since, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (id) DO UPDATE SET action = ?2, state = ?3, worker = ?4, worker_name = ?5,
             order_json = ?6, provider = ?7, region = ?8, flavor = ?9, tries_left = ?10,
             cancelled = ?11, reason = ?12, since = ?14",
    )?;
    for (id, row) in rows {
        let Some(row) = row else {
            transaction.execute("DELETE FROM job WHERE id = ?1", [id.to_sql()])?;
            continue;
        };
        write.execute(params![
            id.to_sql(),
            <&str>::from(row.action),
            <&str>::from(row.state),
            row.worker.map(WorkerId::to_sql),
            &*row.worker_name,
            json(&row.order)?,
            row.provider.as_str(),
            row.region.as_str(),
            row.flavor.as_str(),
            row.tries_left,
            row.cancelled,
            row.reason.as_deref(),
            row.created_at.0,
            row.since.0,
            &*row.created_by,
        ])?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> Result<Vec<(JobId, JobRow)>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, action, state, worker, worker_name, order_json, provider, region, flavor,
             tries_left, cancelled, reason, created_at, since, created_by FROM job ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get::<_, String>(column);
        jobs.push((
            JobId::from_sql(row.get(0)?),
            JobRow {
                action: word("action of a job", &text(1)?)?,
                state: word("state of a job", &text(2)?)?,
                worker: row.get::<_, Option<i64>>(3)?.map(WorkerId::from_sql),
                worker_name: text(4)?.into(),
                order: from_json("order of a job", text(5)?)?,
                provider: ProviderName::new(text(6)?),
                region: RegionName::new(text(7)?),
                flavor: FlavorName::new(text(8)?),
                tries_left: row.get(9)?,
                cancelled: row.get(10)?,
                reason: row.get::<_, Option<String>>(11)?.map(Into::into),
                created_at: Timestamp(row.get(12)?),
                since: Timestamp(row.get(13)?),
                created_by: text(14)?.into(),
            },
        ));
    }
    Ok(jobs)
}
