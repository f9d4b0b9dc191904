//! Reads a database of the original (its SQLite file), version 1.3.8.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};
use rustc_hash::FxHashMap;

use crate::domain::Timestamp;

use super::StoreError;

/// All that is taken over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Original {
    pub tasks: Vec<OriginalTask>,
    pub workers: Vec<OriginalWorker>,
    /// Each as one line for people.
    pub recruiters: Vec<String>,
}

/// A row of `task` with its executions and requirements.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginalTask {
    pub id: u64,
    pub name: Option<String>,
    pub command: String,
    pub status: String,
    pub batch: String,
    pub input: Option<String>,
    pub output: Option<String>,
    pub container: Option<String>,
    pub container_options: Option<String>,
    pub resource: Option<String>,
    pub retry: u32,
    pub download_timeout: Option<u32>,
    pub run_timeout: Option<u32>,
    pub created_at: Timestamp,
    pub status_since: Timestamp,
    pub requires: Vec<u64>,
    pub executions: Vec<OriginalExecution>,
}

/// A row of `execution`.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginalExecution {
    pub id: u64,
    pub worker_name: Option<String>,
    pub status: String,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    pub output: Option<String>,
    pub error: Option<String>,
    pub return_code: Option<i64>,
    pub output_files: Option<String>,
}

/// A row of `worker`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalWorker {
    pub name: String,
    pub hostname: Option<String>,
    pub batch: String,
    pub concurrency: u32,
    pub prefetch: u32,
    pub flavor: Option<String>,
}

/// Reads it whole, without changing it.
///
/// # Errors
/// The file cannot be read, or is no such database.
pub fn read_original(path: &Path) -> Result<Original, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let snapshot = connection.unchecked_transaction()?;
    let mut requires: FxHashMap<u64, Vec<u64>> = FxHashMap::default();
    for (task, other) in
        all(&snapshot, "SELECT task_id, other_task_id FROM requirement ORDER BY 1, 2", |row| {
            Ok((id(row, 0)?, id(row, 1)?))
        })?
    {
        requires.entry(task).or_default().push(other);
    }
    let mut executions: FxHashMap<u64, Vec<OriginalExecution>> = FxHashMap::default();
    for (task, execution) in all(
        &snapshot,
        "SELECT task_id, execution_id, name, execution.status, execution.creation_date,
             execution.modification_date, output, error, return_code, output_files
         FROM execution LEFT JOIN worker USING (worker_id) ORDER BY execution_id",
        |row| Ok((id(row, 0)?, execution(row)?)),
    )? {
        executions.entry(task).or_default().push(execution);
    }
    let mut tasks = all(
        &snapshot,
        "SELECT task_id, name, command, status, batch, input, output, container,
             container_options, resource, retry, download_timeout, run_timeout, creation_date,
             coalesce(status_date, modification_date, creation_date) FROM task ORDER BY task_id",
        task,
    )?;
    for task in &mut tasks {
        task.requires = requires.remove(&task.id).unwrap_or_default();
        task.executions = executions.remove(&task.id).unwrap_or_default();
    }
    let workers = all(
        &snapshot,
        "SELECT name, hostname, batch, concurrency, prefetch, flavor FROM worker
         ORDER BY worker_id",
        worker,
    )?;
    let recruiters = all(
        &snapshot,
        "SELECT batch, rank, worker_flavor, worker_concurrency, tasks_per_worker FROM recruiter
         ORDER BY batch, rank",
        recruiter,
    )?;
    Ok(Original { tasks, workers, recruiters })
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn task(row: &Row<'_>) -> Result<OriginalTask, StoreError> {
    Ok(OriginalTask {
        id: id(row, 0)?,
        name: row.get(1)?,
        command: row.get(2)?,
        status: row.get(3)?,
        batch: row.get(4)?,
        input: row.get(5)?,
        output: row.get(6)?,
        container: row.get(7)?,
        container_options: row.get(8)?,
        resource: row.get(9)?,
        retry: count(row, 10)?.unwrap_or(0),
        download_timeout: count(row, 11)?,
        run_timeout: count(row, 12)?,
        created_at: date(row, 13)?,
        status_since: date(row, 14)?,
        requires: Vec::new(),
        executions: Vec::new(),
    })
}

fn execution(row: &Row<'_>) -> Result<OriginalExecution, StoreError> {
    let created_at = date(row, 4)?;
    Ok(OriginalExecution {
        id: id(row, 1)?,
        worker_name: row.get(2)?,
        status: row.get(3)?,
        created_at,
        changed_at: date(row, 5).unwrap_or(created_at),
        output: row.get(6)?,
        error: row.get(7)?,
        return_code: row.get(8)?,
        output_files: row.get(9)?,
    })
}

fn worker(row: &Row<'_>) -> Result<OriginalWorker, StoreError> {
    Ok(OriginalWorker {
        name: row.get(0)?,
        hostname: row.get(1)?,
        batch: row.get(2)?,
        concurrency: count(row, 3)?.unwrap_or(1),
        prefetch: count(row, 4)?.unwrap_or(0),
        flavor: row.get(5)?,
    })
}

fn recruiter(row: &Row<'_>) -> Result<String, StoreError> {
    let (batch, rank, flavor): (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (concurrency, tasks): (i64, i64) = (row.get(3)?, row.get(4)?);
    Ok(format!(
        "batch `{batch}`, rank {rank}: flavor {flavor}, concurrency {concurrency}, {tasks} tasks a worker"
    ))
}

fn id(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    let id: i64 = row.get(column)?;
    u64::try_from(id).map_err(|_| StoreError::Malformed { what: "an id", value: id.to_string() })
}

/// A number that the original may have stored as a text.
fn count(row: &Row<'_>, column: usize) -> Result<Option<u32>, StoreError> {
    use rusqlite::types::Value;
    let value: Value = row.get(column)?;
    let number = match &value {
        Value::Null => return Ok(None),
        Value::Integer(number) => u32::try_from(*number).ok(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(StoreError::Malformed { what: "a number", value: format!("{value:?}") }),
    }
}

/// `2026-11-22 06:29:29.136877`, in UTC.
fn date(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    let text: String = row.get(column)?;
    let malformed = || StoreError::Malformed { what: "a date", value: text.clone() };
    let civil: jiff::civil::DateTime = text.parse().map_err(|_| malformed())?;
    let instant = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| malformed())?;
    Ok(Timestamp(instant.timestamp().as_microsecond()))
}
