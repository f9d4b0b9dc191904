//! Table `task`.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

use crate::api::task::{ListTasks, TaskView};
use crate::domain::task::{TaskSpec, TaskState};
use crate::domain::{ExecutionId, TaskId, Timestamp, WorkerId};

use super::super::engine::change::{DeletedTask, NewTaskRow, TaskRow};
use super::{StoreError, execution, word};

/// Columns of a [`TaskView`], as [`read_view`] takes them.
const VIEW: &str = "SELECT task.id, task.name, batch.name, task.state, task.spec, task.execution,
     task.attempts, execution.worker, execution.worker_name, task.created_at, task.state_since,
     execution.started_at, execution.finished_at, execution.exit_code, execution.signal,
     task.failure, task.failure_reason, task.created_by
     FROM task JOIN batch ON batch.id = task.batch
     LEFT JOIN execution ON execution.id = task.execution";

/// A new task goes in with the state that it has at the end of the commit.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    new: &[NewTaskRow],
    states: &FxHashMap<TaskId, TaskRow>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO task (id, batch, state, state_since, execution, attempts, retries_left, losses,
             hidden, failure, failure_reason, created_at, created_by, name, spec)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    for row in new {
        // Without a state it was deleted within the same commit.
        let Some(state) = states.get(&row.id) else { continue };
        statement.execute(params![
            row.id.to_sql(),
            row.batch.to_sql(),
            <&str>::from(state.state),
            state.state_since.0,
            state.execution.map(ExecutionId::to_sql),
            state.attempts,
            state.retries_left,
            state.losses,
            state.hidden,
            state.failure.as_ref().map(|failure| <&str>::from(failure.class)),
            state.failure.as_ref().map(|failure| failure.reason.as_str()),
            row.created_at.0,
            &*row.created_by,
            row.name,
            &*row.spec,
        ])?;
    }
    Ok(())
}

pub(super) fn update(
    transaction: &Transaction<'_>,
    new: &[NewTaskRow],
    states: &FxHashMap<TaskId, TaskRow>,
) -> rusqlite::Result<()> {
    let new: FxHashSet<TaskId> = new.iter().map(|row| row.id).collect();
    let mut statement = transaction.prepare_cached(
        "UPDATE task SET state = ?2, state_since = ?3, execution = ?4, attempts = ?5,
             retries_left = ?6, losses = ?7, hidden = ?8, failure = ?9, failure_reason = ?10
         WHERE id = ?1",
    )?;
    for (id, state) in states {
        if new.contains(id) {
            continue;
        }
        statement.execute(params![
            id.to_sql(),
            <&str>::from(state.state),
            state.state_since.0,
            state.execution.map(ExecutionId::to_sql),
            state.attempts,
            state.retries_left,
            state.losses,
            state.hidden,
            state.failure.as_ref().map(|failure| <&str>::from(failure.class)),
            state.failure.as_ref().map(|failure| failure.reason.as_str()),
        ])?;
    }
    Ok(())
}

/// Deletes tasks with their executions; the output of those is noted as garbage.
pub(super) fn delete(
    transaction: &Transaction<'_>,
    tasks: &[DeletedTask],
) -> rusqlite::Result<Vec<ExecutionId>> {
    let mut executions = Vec::new();
    for task in tasks {
        executions.extend(execution::delete_of_task(transaction, task.id)?);
        let id = task.id.to_sql();
        transaction.prepare_cached("DELETE FROM task WHERE id = ?1")?.execute([id])?;
        transaction.prepare_cached("DELETE FROM requirement WHERE task = ?1")?.execute([id])?;
        if task.succeeded {
            // Met requirements; unmet ones stay and keep their tasks blocked.
            transaction
                .prepare_cached("DELETE FROM requirement WHERE required = ?1")?
                .execute([id])?;
        }
    }
    Ok(executions)
}

pub(super) fn find_spec(connection: &Connection, id: TaskId) -> rusqlite::Result<Option<Arc<str>>> {
    connection
        .prepare_cached("SELECT spec FROM task WHERE id = ?1")?
        .query_row([id.to_sql()], |row| row.get::<_, String>(0).map(Arc::from))
        .optional()
}

/// One task for the list, with its spec and the retries that it has left.
pub(super) fn find(
    connection: &Connection,
    id: TaskId,
) -> Result<Option<(TaskView, TaskSpec, u32)>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("{VIEW} WHERE task.id = ?1 AND task.hidden = 0"))?;
    let mut rows = statement.query([id.to_sql()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let view = read_view(row)?;
    let spec = read_spec(row)?;
    let retries_left = connection
        .prepare_cached("SELECT retries_left FROM task WHERE id = ?1")?
        .query_row([id.to_sql()], |row| row.get(0))?;
    Ok(Some((view, spec, retries_left)))
}

/// States of those of the tasks that exist.
pub(super) fn states(
    connection: &Connection,
    ids: &[TaskId],
) -> Result<FxHashMap<TaskId, TaskState>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT state FROM task WHERE id = ?1 AND hidden = 0")?;
    let mut states = FxHashMap::default();
    for id in ids {
        let state: Option<String> =
            statement.query_row([id.to_sql()], |row| row.get(0)).optional()?;
        if let Some(state) = state {
            states.insert(*id, word("task state", &state)?);
        }
    }
    Ok(states)
}

/// One page of tasks in the order of their ids.
///
/// Each wanted state is read through its index and the pages are merged, so
/// the cost is that of a page, however many tasks there are.
pub(super) fn list(
    connection: &Connection,
    query: &ListTasks,
    states: &[TaskState],
    limit: u32,
) -> Result<Vec<TaskView>, StoreError> {
    let mut found = Vec::new();
    if states.is_empty() {
        list_one(connection, query, None, limit, &mut found)?;
    } else {
        for state in states {
            list_one(connection, query, Some(*state), limit, &mut found)?;
        }
        if query.newest_first {
            found.sort_unstable_by_key(|view| std::cmp::Reverse(view.id));
        } else {
            found.sort_unstable_by_key(|view| view.id);
        }
        found.truncate(limit as usize);
    }
    Ok(found)
}

fn list_one(
    connection: &Connection,
    query: &ListTasks,
    state: Option<TaskState>,
    limit: u32,
    found: &mut Vec<TaskView>,
) -> Result<(), StoreError> {
    let mut sql = format!("{VIEW} WHERE task.hidden = 0");
    let mut values: Vec<Value> = Vec::new();
    let mut bind = |sql: &mut String, condition: &str, value: Value| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(condition);
        sql.push_str(" ?");
    };
    if let Some(state) = state {
        bind(&mut sql, "task.state =", Value::Text(state.to_string()));
    }
    if let Some(batch) = &query.batch {
        bind(
            &mut sql,
            "task.batch = (SELECT id FROM batch WHERE name =",
            Value::Text(batch.to_string()),
        );
        sql.push(')');
    }
    if let Some(name) = &query.name {
        bind(&mut sql, "task.name =", Value::Text(name.clone()));
    }
    if let Some(worker) = query.worker {
        bind(
            &mut sql,
            "task.execution IN (SELECT id FROM execution WHERE worker =",
            Value::Integer(worker.to_sql()),
        );
        sql.push(')');
    }
    if let Some(cursor) = query.cursor {
        let condition = if query.newest_first { "task.id <" } else { "task.id >" };
        bind(&mut sql, condition, Value::Integer(cursor.to_sql()));
    }
    sql.push_str(if query.newest_first { " ORDER BY task.id DESC" } else { " ORDER BY task.id" });
    sql.push_str(" LIMIT ?");
    values.push(Value::Integer(i64::from(limit)));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        found.push(read_view(row)?);
    }
    Ok(())
}

fn read_view(row: &Row<'_>) -> Result<TaskView, StoreError> {
    let batch: String = row.get(2)?;
    let state: String = row.get(3)?;
    let failure: Option<String> = row.get(15)?;
    let spec = read_spec(row)?;
    Ok(TaskView {
        id: TaskId::from_sql(row.get(0)?),
        name: row.get(1)?,
        batch: word("batch name", &batch)?,
        state: word("task state", &state)?,
        phase: None,
        command: spec.command.to_string(),
        execution: row.get::<_, Option<i64>>(5)?.map(ExecutionId::from_sql),
        attempts: row.get(6)?,
        worker: row.get::<_, Option<i64>>(7)?.map(WorkerId::from_sql),
        worker_name: row.get(8)?,
        created_at: Timestamp(row.get(9)?),
        state_since: Timestamp(row.get(10)?),
        started_at: row.get::<_, Option<i64>>(11)?.map(Timestamp),
        finished_at: row.get::<_, Option<i64>>(12)?.map(Timestamp),
        exit_code: row.get(13)?,
        signal: row.get(14)?,
        failure: failure.map(|class| word("failure class", &class)).transpose()?,
        failure_reason: row.get(16)?,
        created_by: row.get(17)?,
    })
}

fn read_spec(row: &Row<'_>) -> Result<TaskSpec, StoreError> {
    let text = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
    serde_json::from_str(text)
        .map_err(|_| StoreError::Malformed { what: "task spec", value: text.to_owned() })
}
