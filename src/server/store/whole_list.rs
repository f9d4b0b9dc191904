//! Whole lists of tasks and executions, in the order of their ids and without
//! pages, as the REST API of the original has them.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use crate::domain::execution::ExecutionState;
use crate::domain::task::{Hold, TaskSpec, TaskState};
use crate::domain::{BatchName, ExecutionId, TaskId, Timestamp, WorkerId};

use super::super::engine::change::ExecutionRow;
use super::{StoreError, count_from_sql, execution, from_json, requirement, word};

/// A task with all that is needed to print it.
#[derive(Debug, Clone)]
pub struct PlainTask {
    pub id: TaskId,
    pub name: Option<String>,
    pub batch: BatchName,
    pub state: TaskState,
    pub hold: Hold,
    pub spec: TaskSpec,
    pub created_at: Timestamp,
    pub state_since: Timestamp,
    pub retries_left: u32,
    pub execution: Option<ExecutionId>,
    /// Whatever it asks of them.
    pub required: Vec<TaskId>,
}

/// An execution with what is printed of its task.
#[derive(Debug, Clone)]
pub struct PlainExecution {
    pub id: ExecutionId,
    pub row: ExecutionRow,
    pub batch: BatchName,
    pub spec: TaskSpec,
    /// It is the latest of its task.
    pub latest: bool,
}

/// Conditions that are looked up; a list stands for any of its values. None: all.
#[derive(Debug, Clone, Default)]
pub struct PlainFilter {
    pub tasks: Option<Vec<TaskId>>,
    pub names: Option<Vec<String>>,
    pub batches: Option<Vec<String>>,
    pub task_states: Option<Vec<TaskState>>,
    pub executions: Option<Vec<ExecutionId>>,
    pub execution_states: Option<Vec<ExecutionState>>,
    pub workers: Option<Vec<WorkerId>>,
    pub latest: Option<bool>,
    pub deleted: Deleted,
    pub newest_first: bool,
    pub limit: Option<u32>,
}

/// Whether executions are found whose task was deleted and that still live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deleted {
    #[default]
    LeftOut,
    Found,
}

/// Executions of one worker in one state, which are the latest of their tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerCount {
    pub worker: WorkerId,
    pub state: ExecutionState,
    pub count: u64,
}

pub(super) fn tasks(
    connection: &Connection,
    filter: &PlainFilter,
) -> Result<Vec<PlainTask>, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut sql = "SELECT task.id, task.name, batch.name, task.state, task.hold, task.spec,
             task.created_at, task.state_since, task.retries_left, task.execution
         FROM task CROSS JOIN batch ON batch.id = task.batch AND batch.deleted = 0
         WHERE task.hidden = 0"
        .to_owned();
    let mut values = Vec::new();
    filter.check_tasks(&mut sql, &mut values);
    sql.push_str(" ORDER BY task.id");
    let mut statement = snapshot.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut task = read_task(row)?;
        let required = requirement::of_task(&snapshot, task.id)?;
        task.required = required.into_iter().map(|required| required.task).collect();
        found.push(task);
    }
    Ok(found)
}

pub(super) fn executions(
    connection: &Connection,
    filter: &PlainFilter,
) -> Result<Vec<PlainExecution>, StoreError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut sql = "SELECT execution.id,
             CASE batch.deleted WHEN 0 THEN batch.name ELSE 'Default' END, task.spec,
             coalesce(task.execution = execution.id, 0)
         FROM execution CROSS JOIN task ON task.id = execution.task
         CROSS JOIN batch ON batch.id = task.batch
         WHERE 1"
        .to_owned();
    if filter.deleted == Deleted::LeftOut {
        sql.push_str(" AND task.hidden = 0 AND batch.deleted = 0");
    }
    let mut values = Vec::new();
    filter.check_tasks(&mut sql, &mut values);
    filter.check_executions(&mut sql, &mut values);
    sql.push_str(" ORDER BY execution.id");
    if filter.newest_first {
        sql.push_str(" DESC");
    }
    if let Some(limit) = filter.limit {
        sql.push_str(" LIMIT ?");
        values.push(Value::Integer(limit.into()));
    }
    let mut statement = snapshot.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = ExecutionId::from_sql(row.get(0)?);
        let Some(execution) = execution::find_row(&snapshot, id)? else { continue };
        let batch: String = row.get(1)?;
        found.push(PlainExecution {
            id,
            row: execution,
            batch: word("batch name", &batch)?,
            spec: from_json("task spec", row.get(2)?)?,
            latest: row.get(3)?,
        });
    }
    Ok(found)
}

pub(super) fn count_by_worker(connection: &Connection) -> Result<Vec<WorkerCount>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT execution.worker, execution.state, count(*)
         FROM execution JOIN task ON task.execution = execution.id AND task.hidden = 0
         JOIN batch ON batch.id = task.batch AND batch.deleted = 0
         JOIN worker ON worker.id = execution.worker
         GROUP BY 1, 2 ORDER BY 1, 2",
    )?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let state: String = row.get(1)?;
        found.push(WorkerCount {
            worker: WorkerId::from_sql(row.get(0)?),
            state: word("execution state", &state)?,
            count: count_from_sql(row.get(2)?),
        });
    }
    Ok(found)
}

fn read_task(row: &Row<'_>) -> Result<PlainTask, StoreError> {
    let batch: String = row.get(2)?;
    let state: String = row.get(3)?;
    let hold: String = row.get(4)?;
    Ok(PlainTask {
        id: TaskId::from_sql(row.get(0)?),
        name: row.get(1)?,
        batch: word("batch name", &batch)?,
        state: word("task state", &state)?,
        hold: word("hold of a task", &hold)?,
        spec: from_json("task spec", row.get(5)?)?,
        created_at: Timestamp(row.get(6)?),
        state_since: Timestamp(row.get(7)?),
        retries_left: row.get(8)?,
        execution: row.get::<_, Option<i64>>(9)?.map(ExecutionId::from_sql),
        required: Vec::new(),
    })
}

impl PlainFilter {
    fn check_tasks(&self, sql: &mut String, values: &mut Vec<Value>) {
        if let Some(ids) = &self.tasks {
            any_of(sql, values, "task.id", ids.iter().map(|id| id.0.into()));
        }
        if let Some(names) = &self.names {
            any_of(sql, values, "task.name", names.iter().map(|name| name.as_str().into()));
        }
        if let Some(batches) = &self.batches {
            any_of(sql, values, "batch.name", batches.iter().map(|name| name.as_str().into()));
        }
        if let Some(states) = &self.task_states {
            any_of(
                sql,
                values,
                "task.state",
                states.iter().map(|state| <&str>::from(state).into()),
            );
        }
    }

    fn check_executions(&self, sql: &mut String, values: &mut Vec<Value>) {
        if let Some(ids) = &self.executions {
            any_of(sql, values, "execution.id", ids.iter().map(|id| id.0.into()));
        }
        if let Some(states) = &self.execution_states {
            let states = states.iter().map(|state| <&str>::from(state).into());
            any_of(sql, values, "execution.state", states);
        }
        if let Some(workers) = &self.workers {
            any_of(sql, values, "execution.worker", workers.iter().map(|id| id.0.into()));
        }
        match self.latest {
            Some(true) => sql.push_str(" AND task.execution = execution.id"),
            Some(false) => sql.push_str(" AND task.execution <> execution.id"),
            None => {}
        }
    }
}

/// One value for the whole list, however long it is: so a statement is prepared once.
fn any_of(
    sql: &mut String,
    values: &mut Vec<Value>,
    column: &str,
    wanted: impl Iterator<Item = serde_json::Value>,
) {
    sql.push_str(" AND ");
    sql.push_str(column);
    sql.push_str(" IN (SELECT value FROM json_each(?))");
    values.push(Value::Text(serde_json::Value::Array(wanted.collect()).to_string()));
}
