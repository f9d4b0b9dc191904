//! Tables `execution` and `garbage`.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use rustc_hash::FxHashMap;

use crate::api::execution::{ExecutionView, ListExecutions};
use crate::domain::execution::{
    ExecutionState, Failure, Outcome, OutputSizes, ResourceUsage, Reused,
};
use crate::domain::{ExecutionId, TaskId, Timestamp, WorkerId};

use super::super::engine::change::{Ending, ExecutionRow};
use super::{StoreError, cached, count_from_sql, count_to_sql, from_json, json, word};

/// The limit that a task sets on the output that is kept, bytes; none: as the
/// server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnLimit(pub Option<u64>);

/// When an execution was given out, and when its end was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionTimes {
    pub id: ExecutionId,
    pub assigned_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

/// Columns as [`read`] takes them.
const COLUMNS: &str = "SELECT id, task, attempt, worker, worker_name, state, ending, assigned_at,
     accepted_at, started_at, ended_at, finished_at, failure, failure_reason, exit_code, signal,
     user_seconds, system_seconds, peak_memory_bytes, stdout_bytes, stderr_bytes,
     revision, ready_at, keepsake, reused_execution, reused_task FROM execution";

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &FxHashMap<ExecutionId, ExecutionRow>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO execution (id, task, attempt, worker, worker_name, state, ending, assigned_at,
             accepted_at, started_at, ended_at, finished_at, failure, failure_reason, exit_code,
             signal, user_seconds, system_seconds, peak_memory_bytes, stdout_bytes, stderr_bytes,
             revision, ready_at, keepsake, reused_execution, reused_task)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)
         ON CONFLICT (id) DO UPDATE SET state = ?6, ending = ?7, accepted_at = ?9,
             started_at = ?10, ended_at = ?11, finished_at = ?12, failure = ?13,
             failure_reason = ?14, exit_code = ?15, signal = ?16, user_seconds = ?17,
             system_seconds = ?18, peak_memory_bytes = ?19, stdout_bytes = ?20, stderr_bytes = ?21,
             revision = ?22, ready_at = ?23, keepsake = ?24, reused_execution = ?25,
             reused_task = ?26",
    )?;
    for (id, row) in rows {
        let outcome = row.outcome.as_deref();
        let failure = outcome.and_then(|outcome| outcome.failure.as_ref());
        let usage = outcome.and_then(|outcome| outcome.usage);
        let reused = outcome.and_then(|outcome| outcome.reused);
        statement.execute(params![
            id.to_sql(),
            row.task.to_sql(),
            row.attempt,
            row.worker.map(WorkerId::to_sql),
            &*row.worker_name,
            <&str>::from(row.state),
            row.ending.map(<&str>::from),
            row.assigned_at.0,
            row.accepted_at.map(|date| date.0),
            row.started_at.map(|date| date.0),
            row.ended_at.map(|date| date.0),
            row.finished_at.map(|date| date.0),
            failure.map(|failure| <&str>::from(failure.class)),
            failure.map(|failure| failure.reason.as_str()),
            outcome.and_then(|outcome| outcome.exit_code),
            outcome.and_then(|outcome| outcome.signal),
            usage.map(|usage| usage.user_seconds),
            usage.map(|usage| usage.system_seconds),
            usage.map(|usage| count_to_sql(usage.peak_memory_bytes)),
            count_to_sql(row.output.stdout),
            count_to_sql(row.output.stderr),
            row.revision,
            row.ready_at.map(|date| date.0),
            row.keepsake.as_deref().map(json).transpose()?,
            reused.map(|reused| reused.execution.to_sql()),
            reused.map(|reused| reused.task.to_sql()),
        ])?;
    }
    Ok(())
}

/// Deletes the executions of a task and notes their output as garbage.
pub(super) fn delete_of_task(
    transaction: &Transaction<'_>,
    task: TaskId,
) -> rusqlite::Result<Vec<ExecutionId>> {
    let executions: Vec<ExecutionId> = transaction
        .prepare_cached("SELECT id FROM execution WHERE task = ?1")?
        .query_map([task.to_sql()], |row| row.get(0).map(ExecutionId::from_sql))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &executions {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO garbage (execution) VALUES (?1)")?
            .execute([id.to_sql()])?;
    }
    cached::delete_of_task(transaction, task)?;
    transaction
        .prepare_cached("DELETE FROM execution WHERE task = ?1")?
        .execute([task.to_sql()])?;
    Ok(executions)
}

/// Forgets garbage that has been taken away.
pub(super) fn forget_garbage(
    transaction: &Transaction<'_>,
    executions: &[ExecutionId],
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached("DELETE FROM garbage WHERE execution = ?1")?;
    for id in executions {
        statement.execute([id.to_sql()])?;
    }
    Ok(())
}

/// When those of the executions that there are were given out and ended.
pub(super) fn times(
    connection: &Connection,
    ids: &[ExecutionId],
) -> rusqlite::Result<Vec<ExecutionTimes>> {
    let mut statement = connection
        .prepare_cached("SELECT assigned_at, finished_at FROM execution WHERE id = ?1")?;
    let mut found = Vec::new();
    for id in ids {
        let times = statement.query_row([id.to_sql()], |row| {
            Ok(ExecutionTimes {
                id: *id,
                assigned_at: Timestamp(row.get(0)?),
                finished_at: row.get::<_, Option<i64>>(1)?.map(Timestamp),
            })
        });
        found.extend(times.optional()?);
    }
    Ok(found)
}

/// Executions of deleted tasks whose output may still be there.
pub(super) fn load_garbage(connection: &Connection) -> rusqlite::Result<Vec<ExecutionId>> {
    connection
        .prepare("SELECT execution FROM garbage")?
        .query_map([], |row| row.get(0).map(ExecutionId::from_sql))?
        .collect()
}

/// All that have not ended.
pub(super) fn load_live(
    connection: &Connection,
) -> Result<Vec<(ExecutionId, ExecutionRow)>, StoreError> {
    let mut statement =
        connection.prepare(&format!("{COLUMNS} WHERE finished_at IS NULL ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

pub(super) fn find(
    connection: &Connection,
    id: ExecutionId,
) -> Result<Option<ExecutionView>, StoreError> {
    Ok(find_row(connection, id)?.map(|row| view(id, row)))
}

/// The row of one, ended or not.
pub(super) fn find_row(
    connection: &Connection,
    id: ExecutionId,
) -> Result<Option<ExecutionRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_sql()])?;
    rows.next()?.map(|row| read(row).map(|(_, row)| row)).transpose()
}

/// The limit on the run of an execution's command, seconds.
pub(super) fn run_limit(connection: &Connection, id: ExecutionId) -> rusqlite::Result<Option<u32>> {
    let mut statement = connection.prepare_cached(
        "SELECT json_extract(task.spec, '$.run_timeout')
         FROM execution JOIN task ON task.id = execution.task WHERE execution.id = ?1",
    )?;
    Ok(statement.query_row([id.to_sql()], |row| row.get(0)).optional()?.flatten())
}

/// Those of the executions that there are, with the limit that their task sets on
/// the output that is kept.
pub(super) fn output_limits(
    connection: &Connection,
    ids: &[ExecutionId],
) -> rusqlite::Result<FxHashMap<ExecutionId, OwnLimit>> {
    let mut statement = connection.prepare_cached(
        "SELECT json_extract(spec, '$.output_limit') FROM execution
         JOIN task ON task.id = execution.task WHERE execution.id = ?1",
    )?;
    let mut limits = FxHashMap::default();
    for id in ids {
        let found: Option<Option<i64>> =
            statement.query_row([id.to_sql()], |row| row.get(0)).optional()?;
        if let Some(limit) = found {
            limits.insert(*id, OwnLimit(limit.map(count_from_sql)));
        }
    }
    Ok(limits)
}

/// All of one task, latest first.
pub(super) fn of_task(
    connection: &Connection,
    task: TaskId,
) -> Result<Vec<ExecutionView>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("{COLUMNS} WHERE task = ?1 ORDER BY id DESC"))?;
    let mut rows = statement.query([task.to_sql()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, row) = read(row)?;
        found.push(view(id, row));
    }
    Ok(found)
}

/// One page of executions in the order of their ids.
pub(super) fn list(
    connection: &Connection,
    query: &ListExecutions,
    states: &[ExecutionState],
    limit: u32,
) -> Result<Vec<ExecutionView>, StoreError> {
    let mut conditions: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(task) = query.task {
        conditions.push("task = ?".to_owned());
        values.push(Value::Integer(task.to_sql()));
    }
    if let Some(worker) = query.worker {
        conditions.push("worker = ?".to_owned());
        values.push(Value::Integer(worker.to_sql()));
    }
    if !states.is_empty() {
        let places = vec!["?"; states.len()].join(", ");
        conditions.push(format!("state IN ({places})"));
        values.extend(states.iter().map(|state| Value::Text(state.to_string())));
    }
    if let Some(cursor) = query.cursor {
        conditions.push(if query.newest_first { "id < ?" } else { "id > ?" }.to_owned());
        values.push(Value::Integer(cursor.to_sql()));
    }
    let mut sql = COLUMNS.to_owned();
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql.push_str(if query.newest_first { " ORDER BY id DESC" } else { " ORDER BY id" });
    sql.push_str(" LIMIT ?");
    values.push(Value::Integer(i64::from(limit)));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, row) = read(row)?;
        found.push(view(id, row));
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<(ExecutionId, ExecutionRow), StoreError> {
    let worker_name: String = row.get(4)?;
    let state: String = row.get(5)?;
    let state: ExecutionState = word("execution state", &state)?;
    let ending: Option<String> = row.get(6)?;
    let ending: Option<Ending> =
        ending.map(|text| word("ending of an execution", &text)).transpose()?;
    let date = |column| row.get::<_, Option<i64>>(column).map(|date| date.map(Timestamp));
    let outcome = read_outcome(row)?;
    // One that has not ended and has a failure is sending its outputs once more.
    let is_known = state.is_final() || outcome.failure.is_some();
    let outcome = is_known.then(|| Box::new(outcome));
    Ok((
        ExecutionId::from_sql(row.get(0)?),
        ExecutionRow {
            task: TaskId::from_sql(row.get(1)?),
            attempt: row.get(2)?,
            revision: row.get(21)?,
            worker: row.get::<_, Option<i64>>(3)?.map(WorkerId::from_sql),
            worker_name: worker_name.into(),
            state,
            ending,
            assigned_at: Timestamp(row.get(7)?),
            accepted_at: date(8)?,
            ready_at: date(22)?,
            started_at: date(9)?,
            ended_at: date(10)?,
            finished_at: date(11)?,
            outcome,
            output: OutputSizes {
                stdout: count_from_sql(row.get(19)?),
                stderr: count_from_sql(row.get(20)?),
            },
            keepsake: row
                .get::<_, Option<String>>(23)?
                .map(|text| from_json("keepsake", text).map(Box::new))
                .transpose()?,
        },
    ))
}

fn read_outcome(row: &Row<'_>) -> Result<Outcome, StoreError> {
    let class: Option<String> = row.get(12)?;
    let reason: Option<String> = row.get(13)?;
    let failure = match class {
        None => None,
        Some(class) => Some(Failure {
            class: word("failure class", &class)?,
            reason: reason.unwrap_or_default(),
        }),
    };
    let user: Option<f64> = row.get(16)?;
    let usage = match user {
        None => None,
        Some(user_seconds) => Some(ResourceUsage {
            user_seconds,
            system_seconds: row.get(17)?,
            peak_memory_bytes: count_from_sql(row.get(18)?),
        }),
    };
    let reused = match (row.get::<_, Option<i64>>(24)?, row.get::<_, Option<i64>>(25)?) {
        (Some(execution), Some(task)) => Some(Reused {
            execution: ExecutionId::from_sql(execution),
            task: TaskId::from_sql(task),
        }),
        _ => None,
    };
    Ok(Outcome { failure, exit_code: row.get(14)?, signal: row.get(15)?, usage, reused })
}

fn view(id: ExecutionId, row: ExecutionRow) -> ExecutionView {
    ExecutionView {
        id,
        task: row.task,
        attempt: row.attempt,
        worker: row.worker,
        worker_name: row.worker_name.to_string(),
        state: row.state,
        phase: None,
        assigned_at: row.assigned_at,
        accepted_at: row.accepted_at,
        ready_at: row.ready_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        finished_at: row.finished_at,
        outcome: row.outcome.map(|outcome| *outcome),
        output: row.output,
    }
}
