//! Table `cached`: outputs that executions may take over from others.

use rusqlite::{Connection, Transaction, params};

use crate::api::cache::{CacheHit, CacheKey};
use crate::domain::{ExecutionId, TaskId};

use super::super::engine::change::CachedRow;
use super::StoreError;

/// Most candidates for one execution, which looks at one after the other.
const MOST_FOUND: u32 = 8;

pub(super) fn write(transaction: &Transaction<'_>, rows: &[CachedRow]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO cached (execution, key, output, files) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for row in rows {
        statement.execute(params![row.execution.to_sql(), row.key.0, row.output, row.files])?;
    }
    Ok(())
}

/// Forgets what the executions of a task have made.
pub(super) fn delete_of_task(transaction: &Transaction<'_>, task: TaskId) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM cached WHERE execution IN (SELECT id FROM execution WHERE task = ?1)",
        )?
        .execute([task.to_sql()])
        .map(|_| ())
}

/// What executions with this key have made, latest first.
pub(super) fn find(connection: &Connection, key: &CacheKey) -> Result<Vec<CacheHit>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT cached.execution, task, output, files FROM cached
         JOIN execution ON execution.id = cached.execution
         WHERE key = ?1 ORDER BY cached.execution DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![key.0, MOST_FOUND])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let files: String = row.get(3)?;
        found.push(CacheHit {
            execution: ExecutionId::from_sql(row.get(0)?),
            task: TaskId::from_sql(row.get(1)?),
            output: row.get(2)?,
            files: serde_json::from_str(&files)
                .map_err(|_| StoreError::Malformed { what: "a list of files", value: files })?,
        });
    }
    Ok(found)
}
