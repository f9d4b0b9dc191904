//! Table `requirement`: which task needs which.

use rusqlite::{Connection, Transaction};

use crate::api::task::RelatedTask;
use crate::domain::TaskId;

use super::super::engine::change::NewTaskRow;
use super::{StoreError, word};

pub(super) fn insert(transaction: &Transaction<'_>, rows: &[NewTaskRow]) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare_cached("INSERT OR IGNORE INTO requirement (task, required) VALUES (?1, ?2)")?;
    for row in rows {
        for required in &row.requirements {
            statement.execute((row.id.to_sql(), required.to_sql()))?;
        }
    }
    Ok(())
}

/// All that a task requires, ended ones and deleted ones too.
pub(super) fn of_task(connection: &Connection, id: TaskId) -> rusqlite::Result<Vec<TaskId>> {
    connection
        .prepare_cached("SELECT required FROM requirement WHERE task = ?1 ORDER BY required")?
        .query_map([id.to_sql()], |row| row.get(0).map(TaskId::from_sql))?
        .collect()
}

/// Every requirement of tasks that have not ended, with whether it is met.
pub(super) fn load_live(connection: &Connection) -> rusqlite::Result<Vec<(TaskId, TaskId, bool)>> {
    connection
        .prepare(
            "SELECT requirement.task, requirement.required, needed.state IS 'succeeded'
             FROM task JOIN requirement ON requirement.task = task.id
             LEFT JOIN task AS needed ON needed.id = requirement.required
             WHERE task.state IN ('waiting', 'pending', 'assigned', 'accepted', 'running', 'paused')
             ORDER BY 1, 2",
        )?
        .query_map([], |row| {
            Ok((TaskId::from_sql(row.get(0)?), TaskId::from_sql(row.get(1)?), row.get(2)?))
        })?
        .collect()
}

/// What a task requires, with states; deleted ones are left out.
pub(super) fn related(connection: &Connection, id: TaskId) -> Result<Vec<RelatedTask>, StoreError> {
    related_by(
        connection,
        "SELECT task.id, task.state FROM requirement JOIN task ON task.id = requirement.required
         WHERE requirement.task = ?1 AND task.hidden = 0 ORDER BY 1",
        id,
    )
}

/// What requires a task, with states; the first thousand.
pub(super) fn dependents(
    connection: &Connection,
    id: TaskId,
) -> Result<Vec<RelatedTask>, StoreError> {
    related_by(
        connection,
        "SELECT task.id, task.state FROM requirement JOIN task ON task.id = requirement.task
         WHERE requirement.required = ?1 AND task.hidden = 0 ORDER BY 1 LIMIT 1000",
        id,
    )
}

fn related_by(
    connection: &Connection,
    sql: &str,
    id: TaskId,
) -> Result<Vec<RelatedTask>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id.to_sql()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let state: String = row.get(1)?;
        found.push(RelatedTask {
            id: TaskId::from_sql(row.get(0)?),
            state: word("task state", &state)?,
        });
    }
    Ok(found)
}
