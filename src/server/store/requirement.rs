//! Table `requirement`: which task needs which.

use rusqlite::{Connection, Row, Transaction};

use crate::api::task::RelatedTask;
use crate::domain::task::TaskState;
use crate::domain::{BatchId, TaskId, Timestamp};

use super::super::engine::change::NewTaskRow;
use super::super::engine::state::Requirement;
use super::{StoreError, word};

pub(super) fn insert(transaction: &Transaction<'_>, rows: &[NewTaskRow]) -> rusqlite::Result<()> {
    for row in rows {
        insert_all(transaction, row.id, &row.requirements)?;
    }
    Ok(())
}

/// Takes these for those that the task had before.
pub(super) fn replace(
    transaction: &Transaction<'_>,
    task: TaskId,
    requirements: &[Requirement],
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM requirement WHERE task = ?1")?
        .execute([task.to_sql()])?;
    insert_all(transaction, task, requirements)
}

fn insert_all(
    transaction: &Transaction<'_>,
    task: TaskId,
    requirements: &[Requirement],
) -> rusqlite::Result<()> {
    if requirements.is_empty() {
        return Ok(());
    }
    let mut statement = transaction.prepare_cached(
        "INSERT OR IGNORE INTO requirement (task, required, until) VALUES (?1, ?2, ?3)",
    )?;
    for Requirement { task: required, until } in requirements {
        statement.execute((task.to_sql(), required.to_sql(), <&str>::from(*until)))?;
    }
    Ok(())
}

/// All that a task requires, ended ones and deleted ones too.
pub(super) fn of_task(connection: &Connection, id: TaskId) -> Result<Vec<Requirement>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT required, until FROM requirement WHERE task = ?1 ORDER BY required",
    )?;
    let mut rows = statement.query([id.to_sql()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row, 0)?);
    }
    Ok(found)
}

/// Every requirement of tasks that have not ended, with whether it is met.
pub(super) fn load_live(
    connection: &Connection,
) -> Result<Vec<(TaskId, Requirement, bool)>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT requirement.task, requirement.required, requirement.until, needed.state
             FROM task JOIN requirement ON requirement.task = task.id
             JOIN batch ON batch.id = task.batch AND batch.deleted = 0
             LEFT JOIN task AS needed ON needed.id = requirement.required
             WHERE task.state IN ('waiting', 'pending', 'assigned', 'accepted', 'running', 'paused')
             ORDER BY 1, 2",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let requirement = read(row, 1)?;
        let state: Option<String> = row.get(3)?;
        let state: Option<TaskState> = state.map(|state| word("task state", &state)).transpose()?;
        let is_met = state.is_some_and(|state| requirement.is_met_by(state));
        found.push((TaskId::from_sql(row.get(0)?), requirement, is_met));
    }
    Ok(found)
}

/// A requirement from two columns, of which this is the first.
fn read(row: &Row<'_>, column: usize) -> Result<Requirement, StoreError> {
    let until: String = row.get(column + 1)?;
    Ok(Requirement {
        task: TaskId::from_sql(row.get(column)?),
        until: word("what a task waits for", &until)?,
    })
}

/// The ended tasks of a batch that tasks which have not ended require.
pub(super) fn required_of_batch(
    connection: &Connection,
    batch: BatchId,
) -> rusqlite::Result<Vec<TaskId>> {
    connection
        .prepare_cached(
            "SELECT DISTINCT needed.id FROM task AS needed
             JOIN requirement ON requirement.required = needed.id
             JOIN task ON task.id = requirement.task
             WHERE needed.batch = ?1 AND needed.state IN ('succeeded', 'failed')
                 AND task.state NOT IN ('succeeded', 'failed')",
        )?
        .query_map([batch.to_sql()], |row| row.get(0).map(TaskId::from_sql))?
        .collect()
}

/// What a task requires, with states; deleted ones are left out.
pub(super) fn related(connection: &Connection, id: TaskId) -> Result<Vec<RelatedTask>, StoreError> {
    related_by(
        connection,
        "SELECT task.id, task.state, until, task.state_since FROM requirement JOIN task ON task.id = requirement.required
         WHERE requirement.task = ?1 AND task.hidden = 0 ORDER BY 1",
        id,
    )
}

/// Required tasks that were deleted, with the state of those that still run.
pub(super) fn deleted(
    connection: &Connection,
    id: TaskId,
) -> Result<Vec<(TaskId, Option<TaskState>)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT requirement.required, task.state FROM requirement
         LEFT JOIN task ON task.id = requirement.required
         WHERE requirement.task = ?1 AND coalesce(task.hidden, 1) = 1 ORDER BY 1",
    )?;
    let mut rows = statement.query([id.to_sql()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let state: Option<String> = row.get(1)?;
        let state = state.map(|state| word("task state", &state)).transpose()?;
        found.push((TaskId::from_sql(row.get(0)?), state));
    }
    Ok(found)
}

/// What requires a task, with states; the first thousand.
pub(super) fn dependents(
    connection: &Connection,
    id: TaskId,
) -> Result<Vec<RelatedTask>, StoreError> {
    related_by(
        connection,
        "SELECT task.id, task.state, until, task.state_since FROM requirement JOIN task ON task.id = requirement.task
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
        let until: String = row.get(2)?;
        found.push(RelatedTask {
            id: TaskId::from_sql(row.get(0)?),
            state: word("task state", &state)?,
            until: word("what a task waits for", &until)?,
            state_since: Timestamp(row.get(3)?),
        });
    }
    Ok(found)
}
