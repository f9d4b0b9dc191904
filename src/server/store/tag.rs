//! Table `tag`: words that people put on tasks.

use std::collections::BTreeMap;

use rusqlite::Transaction;

use crate::domain::TaskId;

pub(super) fn insert(
    transaction: &Transaction<'_>,
    task: TaskId,
    tags: &BTreeMap<String, String>,
) -> rusqlite::Result<()> {
    if tags.is_empty() {
        return Ok(());
    }
    let mut statement = transaction
        .prepare_cached("INSERT OR IGNORE INTO tag (name, value, task) VALUES (?1, ?2, ?3)")?;
    for (name, value) in tags {
        statement.execute((name, value, task.to_sql()))?;
    }
    Ok(())
}

pub(super) fn delete(transaction: &Transaction<'_>, task: TaskId) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM tag WHERE task = ?1")?.execute([task.to_sql()])?;
    Ok(())
}
