//! Tasks as people see them: table `task` with what belongs to it.

use rusqlite::{Connection, Row};

use crate::api::task::TaskView;
use crate::domain::task::TaskSpec;
use crate::domain::{ExecutionId, TaskId, Timestamp, WorkerId};

use super::{StoreError, word};

/// Columns of a [`TaskView`], as [`read_view`] takes them.
pub(super) const COLUMNS: &str =
    "task.id, task.name, batch.name, task.state, task.spec, task.execution,
     task.attempts, execution.worker, execution.worker_name, task.created_at, task.state_since,
     execution.started_at, execution.finished_at, execution.exit_code, execution.signal,
     task.failure, task.failure_reason, task.created_by, task.hold, task.priority, task.revision";

/// How many those are.
pub(super) const COLUMN_COUNT: usize = 21;

/// What they come from, after the table `task`: in this order, for a batch
/// leads to far more tasks than a task to batches.
pub(super) const JOINS: &str = " CROSS JOIN batch ON batch.id = task.batch AND batch.deleted = 0
     LEFT JOIN execution ON execution.id = task.execution";

/// A task as the list has it, and what only a look at that one task shows.
#[derive(Debug)]
pub(super) struct FoundTask {
    pub view: TaskView,
    pub spec: TaskSpec,
    pub retries_left: u32,
    pub pending_since: Timestamp,
}

pub(super) fn find(connection: &Connection, id: TaskId) -> Result<Option<FoundTask>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, task.retries_left, task.pending_since FROM task {JOINS}
         WHERE task.id = ?1 AND task.hidden = 0"
    ))?;
    let mut rows = statement.query([id.to_sql()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(FoundTask {
        view: read_view(row)?,
        spec: read_spec(row)?,
        retries_left: row.get(COLUMN_COUNT)?,
        pending_since: Timestamp(row.get(COLUMN_COUNT + 1)?),
    }))
}

pub(super) fn read_view(row: &Row<'_>) -> Result<TaskView, StoreError> {
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
