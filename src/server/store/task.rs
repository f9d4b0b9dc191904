//! Table `task`: what commits write, and what the engine reads back.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::domain::task::TaskState;
use crate::domain::{BatchId, BatchName, ExecutionId, TaskId, Timestamp};

use super::super::engine::change::{DeletedTask, EditedTaskRow, Entered, NewTaskRow, TaskRow};
use super::{StoreError, execution, requirement, tag, word};

/// A new task goes in with the state that it has at the end of the commit.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    new: &[NewTaskRow],
    states: &FxHashMap<TaskId, TaskRow>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO task (id, batch, state, state_since, execution, attempts, retries_left, losses,
             hidden, failure, failure_reason, created_at, created_by, name, spec, hold, revision,
             priority, cpu, memory_mib, released, pending_since)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20, ?21, ?12)",
    )?;
    for row in new {
        // Without a state it was deleted within the same commit.
        let Some(state) = states.get(&row.id) else { continue };
        let failure = state.entered.as_ref().and_then(|entered| entered.failure.as_deref());
        statement.execute(params![
            row.id.to_sql(),
            row.batch.to_sql(),
            <&str>::from(state.state),
            state.entered.as_ref().map_or(row.created_at, |entered| entered.at).0,
            state.execution.map(ExecutionId::to_sql),
            state.attempts,
            state.retries_left,
            state.losses,
            state.hidden,
            failure.map(|failure| <&str>::from(failure.class)),
            failure.map(|failure| failure.reason.as_str()),
            row.created_at.0,
            &*row.created_by,
            row.name,
            &*row.spec,
            <&str>::from(state.hold),
            state.revision,
            row.priority,
            row.demand.cpu,
            row.demand.memory_mib,
            state.released,
        ])?;
        tag::insert(transaction, row.id, &row.tags)?;
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
        "UPDATE task SET state = ?2, execution = ?3, attempts = ?4, retries_left = ?5, losses = ?6,
             hidden = ?7, hold = ?8, revision = ?9, released = ?10
         WHERE id = ?1",
    )?;
    let mut enter = transaction.prepare_cached(
        "UPDATE task SET state = ?2, execution = ?3, attempts = ?4, retries_left = ?5, losses = ?6,
             hidden = ?7, hold = ?8, revision = ?9, released = ?10, state_since = ?11,
             failure = ?12, failure_reason = ?13,
             pending_since = iif(?2 = 'pending', ?11, pending_since)
         WHERE id = ?1",
    )?;
    for (id, row) in states.iter().filter(|(id, _)| !new.contains(id)) {
        let (id, state, hold) = (id.to_sql(), <&str>::from(row.state), <&str>::from(row.hold));
        let execution = row.execution.map(ExecutionId::to_sql);
        let TaskRow { attempts, retries_left, losses, hidden, revision, released, .. } = row;
        if let Some(Entered { at, failure }) = &row.entered {
            enter.execute(params![
                id,
                state,
                execution,
                attempts,
                retries_left,
                losses,
                hidden,
                hold,
                revision,
                released,
                at.0,
                failure.as_ref().map(|failure| <&str>::from(failure.class)),
                failure.as_ref().map(|failure| failure.reason.as_str()),
            ])?;
        } else {
            statement.execute(params![
                id,
                state,
                execution,
                attempts,
                retries_left,
                losses,
                hidden,
                hold,
                revision,
                released,
            ])?;
        }
    }
    Ok(())
}

/// Writes new specifications over old ones.
pub(super) fn edit(
    transaction: &Transaction<'_>,
    edited: &FxHashMap<TaskId, EditedTaskRow>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "UPDATE task SET batch = ?2, name = ?3, spec = ?4, priority = ?5, cpu = ?6, memory_mib = ?7
         WHERE id = ?1",
    )?;
    for (id, row) in edited {
        statement.execute(params![
            id.to_sql(),
            row.batch.to_sql(),
            row.name,
            &*row.spec,
            row.priority,
            row.demand.cpu,
            row.demand.memory_mib,
        ])?;
        requirement::replace(transaction, *id, &row.requirements)?;
        tag::delete(transaction, *id)?;
        tag::insert(transaction, *id, &row.tags)?;
    }
    Ok(())
}

/// Puts tasks into another batch, in their specifications as well.
pub(super) fn move_to_batch(
    transaction: &Transaction<'_>,
    moved: &FxHashMap<TaskId, (BatchId, BatchName)>,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "UPDATE task SET batch = ?2, spec = json_set(spec, '$.batch', ?3) WHERE id = ?1",
    )?;
    for (id, (batch, name)) in moved {
        statement.execute(params![id.to_sql(), batch.to_sql(), name.as_str()])?;
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
        executions.extend(delete_one(transaction, task.id)?);
        forget_met(transaction, task.id, task.state)?;
    }
    Ok(executions)
}

/// Deletes the oldest tasks of batches that are deleted and of which nothing is
/// under way, up to `limit`, and the batches that have none left.
pub(super) fn delete_of_batches(
    transaction: &Transaction<'_>,
    batches: &[BatchId],
    limit: usize,
) -> rusqlite::Result<(Vec<ExecutionId>, Vec<BatchId>)> {
    let (mut executions, mut gone) = (Vec::new(), Vec::new());
    let mut left = limit;
    for batch in batches {
        let tasks: Vec<(TaskId, bool)> = transaction
            .prepare_cached(
                "SELECT id, state = 'succeeded' FROM task WHERE batch = ?1 ORDER BY id LIMIT ?2",
            )?
            .query_map(params![batch.to_sql(), i64::try_from(left).unwrap_or(i64::MAX)], |row| {
                Ok((TaskId::from_sql(row.get(0)?), row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        left = left.saturating_sub(tasks.len());
        for (task, has_succeeded) in tasks {
            executions.extend(delete_one(transaction, task)?);
            let state = if has_succeeded { TaskState::Succeeded } else { TaskState::Failed };
            forget_met(transaction, task, state)?;
        }
        let is_empty: bool = transaction
            .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM task WHERE batch = ?1)")?
            .query_row([batch.to_sql()], |row| row.get(0))?;
        if is_empty {
            transaction.execute("DELETE FROM batch WHERE id = ?1", [batch.to_sql()])?;
            gone.push(*batch);
        }
        if left == 0 {
            break;
        }
    }
    Ok((executions, gone))
}

pub(super) fn find_spec(connection: &Connection, id: TaskId) -> rusqlite::Result<Option<Arc<str>>> {
    connection
        .prepare_cached("SELECT spec FROM task WHERE id = ?1")?
        .query_row([id.to_sql()], |row| row.get::<_, String>(0).map(Arc::from))
        .optional()
}

/// States of those of the tasks that exist.
pub(super) fn states(
    connection: &Connection,
    ids: &[TaskId],
) -> Result<FxHashMap<TaskId, TaskState>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT task.state FROM task JOIN batch ON batch.id = task.batch AND batch.deleted = 0
         WHERE task.id = ?1 AND hidden = 0",
    )?;
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

/// The failed tasks of a batch, oldest first.
pub(super) fn list_failed(
    connection: &Connection,
    batch: BatchId,
) -> rusqlite::Result<Vec<TaskId>> {
    connection
        .prepare_cached(
            "SELECT id FROM task WHERE batch = ?1 AND state = 'failed' AND hidden = 0 ORDER BY id",
        )?
        .query_map([batch.to_sql()], |row| row.get(0).map(TaskId::from_sql))?
        .collect()
}

/// Tasks that ended before a date and for which none waits, the oldest first.
pub(super) fn list_ended(
    connection: &Connection,
    before: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<TaskId>> {
    connection
        .prepare_cached(
            "SELECT task.id FROM task JOIN batch ON batch.id = task.batch AND batch.deleted = 0
             WHERE task.state IN ('succeeded', 'failed') AND task.state_since < ?1
                 AND task.hidden = 0 AND NOT EXISTS (
                     SELECT 1 FROM requirement JOIN task AS other ON other.id = requirement.task
                     WHERE requirement.required = task.id
                         AND other.state NOT IN ('succeeded', 'failed'))
             ORDER BY task.state_since LIMIT ?2",
        )?
        .query_map(rusqlite::params![before.0, limit], |row| row.get(0).map(TaskId::from_sql))?
        .collect()
}

/// Takes away the requirements on a deleted task that its last state met. The
/// others stay and keep their tasks blocked.
fn forget_met(transaction: &Transaction<'_>, id: TaskId, state: TaskState) -> rusqlite::Result<()> {
    let sql = match state {
        TaskState::Succeeded => "DELETE FROM requirement WHERE required = ?1",
        TaskState::Failed => "DELETE FROM requirement WHERE required = ?1 AND until = 'end'",
        _ => return Ok(()),
    };
    transaction.prepare_cached(sql)?.execute([id.to_sql()])?;
    Ok(())
}

fn delete_one(transaction: &Transaction<'_>, id: TaskId) -> rusqlite::Result<Vec<ExecutionId>> {
    let executions = execution::delete_of_task(transaction, id)?;
    let sql = id.to_sql();
    transaction.prepare_cached("DELETE FROM task WHERE id = ?1")?.execute([sql])?;
    transaction.prepare_cached("DELETE FROM requirement WHERE task = ?1")?.execute([sql])?;
    tag::delete(transaction, id)?;
    Ok(executions)
}
