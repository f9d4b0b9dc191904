//! Failed tasks of one batch, by an index of their own.

use rusqlite::{Connection, params};

use crate::api::batch::FailureGroup;
use crate::domain::{BatchName, TaskId};

use super::{StoreError, count_from_sql};

/// The newest failed tasks, whose reasons are looked at.
const RECENT: u32 = 10_000;
/// Reasons that are told.
const GROUPS: u32 = 10;

/// Why tasks of a batch failed: the most frequent reasons among its newest
/// failed tasks, each with its newest one.
pub(super) fn failures(
    connection: &Connection,
    batch: &BatchName,
) -> Result<Vec<FailureGroup>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce(failure_reason, failure, 'no reason was told'), count(*), max(id) FROM
             (SELECT failure_reason, failure, id FROM task INDEXED BY task_failed
              WHERE batch = (SELECT id FROM batch WHERE name = ?1 AND deleted = 0)
                  AND state = 'failed' AND hidden = 0
              ORDER BY id DESC LIMIT ?2)
         GROUP BY 1 ORDER BY 2 DESC, 3 DESC LIMIT ?3",
    )?;
    let mut rows = statement.query((batch.as_str(), RECENT, GROUPS))?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        groups.push(FailureGroup {
            reason: row.get(0)?,
            count: count_from_sql(row.get(1)?),
            example: TaskId::from_sql(row.get(2)?),
        });
    }
    Ok(groups)
}

/// Failed tasks of a batch in the order of their ids, from behind `after`.
pub(super) fn ids(
    connection: &Connection,
    batch: &BatchName,
    after: TaskId,
    limit: u32,
) -> Result<Vec<TaskId>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM task INDEXED BY task_failed
         WHERE batch = (SELECT id FROM batch WHERE name = ?1 AND deleted = 0)
             AND state = 'failed' AND hidden = 0 AND id > ?2
         ORDER BY id LIMIT ?3",
    )?;
    let ids = statement.query_map(params![batch.as_str(), after.to_sql(), limit], |row| {
        row.get(0).map(TaskId::from_sql)
    })?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
