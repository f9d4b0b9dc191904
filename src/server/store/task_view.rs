//! Tasks as people see them: table `task` with what belongs to it.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use crate::api::task::{ListTasks, TaskView};
use crate::domain::task::{TaskSpec, TaskState};
use crate::domain::{ExecutionId, TaskId, Timestamp, WorkerId};

use super::{StoreError, word};

/// Columns of a [`TaskView`], as [`read_view`] takes them.
const VIEW: &str = "SELECT task.id, task.name, batch.name, task.state, task.spec, task.execution,
     task.attempts, execution.worker, execution.worker_name, task.created_at, task.state_since,
     execution.started_at, execution.finished_at, execution.exit_code, execution.signal,
     task.failure, task.failure_reason, task.created_by, task.hold, task.priority, task.revision
     FROM task JOIN batch ON batch.id = task.batch AND batch.deleted = 0
     LEFT JOIN execution ON execution.id = task.execution";

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
        if query.reverse {
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
    if let Some(cursor) = query.cursor.as_ref().and_then(|cursor| cursor.parse().ok()) {
        let condition = if query.reverse { "task.id <" } else { "task.id >" };
        bind(&mut sql, condition, Value::Integer(cursor));
    }
    sql.push_str(if query.reverse { " ORDER BY task.id DESC" } else { " ORDER BY task.id" });
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
    let hold: String = row.get(18)?;
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
        hold: word("hold of a task", &hold)?,
        priority: row.get(19)?,
        tags: spec.tags,
        revision: row.get(20)?,
        created_by: row.get(17)?,
    })
}

fn read_spec(row: &Row<'_>) -> Result<TaskSpec, StoreError> {
    let text = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
    serde_json::from_str(text)
        .map_err(|_| StoreError::Malformed { what: "task spec", value: text.to_owned() })
}
