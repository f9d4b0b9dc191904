//! From the database to the engine's live state: at start, after a failed
//! commit, and for single ended tasks that a command needs.

use rusqlite::{Connection, Row};
use rustc_hash::FxHashMap;

use crate::domain::demand::Demand;
use crate::domain::execution::ExecutionState;
use crate::domain::job::JobAction;
use crate::domain::task::{TaskLife, TaskState};
use crate::domain::worker::SeenState;
use crate::domain::{BatchId, ExecutionId, Now, TaskId};

use super::super::engine::change::Ending;
use super::super::engine::hiring::Job;
use super::super::engine::state::{Batch, Execution, Policy, Requirement, State, Task, Worker};
use super::{StoreError, batch, execution, job, meta, recruiter, requirement, token, word, worker};

/// A task as a command needs it.
#[derive(Debug, Clone)]
pub struct ReadTask {
    pub id: TaskId,
    pub task: Task,
    /// All that it requires.
    pub requirements: Vec<Requirement>,
}

/// The live state as the database has it. Leases start anew at `now`.
pub(super) fn load(connection: &Connection, policy: Policy, now: Now) -> Result<State, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let (store, epoch) = meta::load_identity(&transaction)?;
    let mut state = State::new(policy, store, epoch, meta::load_next_ids(&transaction)?);
    for (id, row) in batch::load(&transaction)? {
        if let Some(name) = &row.name {
            state.batch_ids.insert(name.clone(), id);
        }
        state.batches.insert(id, Batch::restored(row));
    }
    load_workers(&transaction, &mut state, now)?;
    for (id, row) in token::load(&transaction)? {
        state.tokens.insert(id, row.worker);
        if let Some(until) = row.join_until {
            state.hiring.join_tokens.insert(id, until);
        }
    }
    load_hiring(&transaction, &mut state)?;
    let mut requirements: FxHashMap<TaskId, Vec<Requirement>> = FxHashMap::default();
    let mut unmet: FxHashMap<TaskId, usize> = FxHashMap::default();
    for (id, required, met) in requirement::load_live(&transaction)? {
        requirements.entry(id).or_default().push(required);
        *unmet.entry(id).or_default() += usize::from(!met);
    }
    for (id, required) in requirements {
        state.note_requirements(id, required);
    }
    load_tasks(&transaction, &mut state, &unmet)?;
    for (id, row) in execution::load_live(&transaction)? {
        let Some(worker) = row.worker else { continue };
        if row.ending == Some(Ending::Delete)
            && let Some(worker) = state.workers.get_mut(&worker)
        {
            worker.deleting = true;
        }
        if row.ending == Some(Ending::Relaunch)
            && let Some(unmet) = unmet.get(&row.task).filter(|unmet| **unmet > 0)
        {
            let unmet = u32::try_from(*unmet).unwrap_or(u32::MAX);
            state.waits_after_end.insert(row.task, unmet);
        }
        state.restore_execution(id, Execution::restored(row, worker));
    }
    Ok(state)
}

fn load_workers(connection: &Connection, state: &mut State, now: Now) -> Result<(), StoreError> {
    for (id, row) in worker::load(connection)? {
        let Some(batch_id) = state.batch_ids.get(&row.settings.batch).copied() else {
            return Err(StoreError::Malformed {
                what: "the batch of a worker",
                value: row.settings.batch.to_string(),
            });
        };
        if let Some(batch) = state.batches.get_mut(&batch_id) {
            batch.workers.insert(id);
            if row.machine.engine.is_some() {
                batch.engines.insert(id);
            }
        }
        let lease = row.machine.protocol.lease().or_else(|| state.lost_after(batch_id));
        state.workers.insert(
            id,
            Worker {
                name: row.name,
                machine: row.machine,
                settings: row.settings,
                batch: batch_id,
                wanted: row.wanted,
                seen: if row.failure.is_some() {
                    SeenState::Failed
                } else if row.version.is_empty() {
                    // A hired one whose agent has never called.
                    SeenState::Offline
                } else {
                    SeenState::Online
                },
                failure: row.failure,
                faults: Vec::new(),
                orphans: Vec::new(),
                pulls: Vec::new(),
                agent_lease: lease,
                reserved_for: None,
                version: row.version,
                succeeded: row.succeeded,
                failed: row.failed,
                registered_at: row.registered_at,
                created_by: row.created_by,
                link: None,
                instance: String::new(),
                last_heard: now.monotonic,
                last_contact: None,
                stats: None,
                transfers: Vec::new(),
                executions: rustc_hash::FxHashSet::default(),
                held: 0,
                candidate_key: None,
                leaving: false,
                deleting: false,
                hire: row.hire,
            },
        );
    }
    Ok(())
}

/// Jobs and recruiters. What is being destroyed takes no more tasks.
fn load_hiring(connection: &Connection, state: &mut State) -> Result<(), StoreError> {
    for (key, recruiter) in recruiter::load(connection)? {
        state.hiring.recruiters.insert(key, recruiter);
    }
    for (id, row) in job::load(connection)? {
        if row.action == JobAction::Destroy
            && !row.state.is_final()
            && let Some(worker) = row.worker.and_then(|worker| state.workers.get_mut(&worker))
        {
            worker.deleting = true;
        }
        state.hiring.jobs.insert(id, Job::restored(row));
    }
    Ok(())
}

/// Columns of a [`Task`], as [`read_row`] takes them.
const TASK: &str = "SELECT id, batch, state, execution, attempts, retries_left, losses, hidden,
     json_extract(spec, '$.retry'), priority, cpu, memory_mib, hold, revision,
     CASE state WHEN 'paused' THEN (SELECT execution.state FROM execution
         WHERE execution.id = task.execution AND finished_at IS NULL) END,
     json_extract(spec, '$.container') IS NOT NULL, released
     FROM task";

fn load_tasks(
    connection: &Connection,
    state: &mut State,
    unmet: &FxHashMap<TaskId, usize>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(&format!(
        "{TASK} WHERE state IN ('waiting', 'pending', 'assigned', 'accepted', 'running', 'paused')
         ORDER BY id",
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = TaskId::from_sql(row.get(0)?);
        let task = read_row(row, unmet.get(&id).copied().unwrap_or(0))?;
        let in_deleted = state.batches.get(&task.batch).is_some_and(|batch| batch.deleted);
        // Of a deleted batch only what is under way still matters.
        if !in_deleted || task.life.execution().is_some() {
            state.restore_task(id, task);
        }
    }
    Ok(())
}

/// One task with its requirements, also an ended one.
pub(super) fn read_task(
    connection: &Connection,
    id: TaskId,
) -> Result<Option<ReadTask>, StoreError> {
    let requirements = requirement::of_task(connection, id)?;
    let mut statement = connection.prepare_cached(&format!("{TASK} WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_sql()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let task = read_row(row, requirements.len())?;
    Ok(Some(ReadTask { id, task, requirements }))
}

/// A task of which so many requirements are not met.
fn read_row(row: &Row<'_>, unmet: usize) -> Result<Task, StoreError> {
    let state = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
    let hold = row.get_ref(12)?.as_str().map_err(rusqlite::Error::from)?;
    let suspended = row.get_ref(14)?.as_str_or_null().map_err(rusqlite::Error::from)?;
    let execution = row.get::<_, Option<i64>>(3)?.map(ExecutionId::from_sql);
    let released: bool = row.get(16)?;
    let unmet = if released { 0 } else { unmet };
    let held_in = suspended.map(|state| word("execution state", state)).transpose()?;
    Ok(Task {
        life: life(word("task state", state)?, execution, held_in, unmet)?,
        batch: BatchId::from_sql(row.get(1)?),
        execution,
        attempts: row.get(4)?,
        retries_left: row.get(5)?,
        losses: row.get(6)?,
        hidden: row.get(7)?,
        retry: row.get::<_, Option<u32>>(8)?.unwrap_or(0),
        priority: row.get(9)?,
        demand: Demand { cpu: row.get(10)?, memory_mib: row.get(11)?, container: row.get(15)? },
        hold: word("hold of a task", hold)?,
        revision: row.get(13)?,
    })
}

/// `held_in`: the state of the live execution of a paused task, if it has one.
fn life(
    state: TaskState,
    execution: Option<ExecutionId>,
    held_in: Option<ExecutionState>,
    unmet: usize,
) -> Result<TaskLife, StoreError> {
    let unmet = u32::try_from(unmet).unwrap_or(u32::MAX);
    Ok(match (state, execution) {
        (TaskState::Waiting, _) => TaskLife::Waiting { unmet },
        (TaskState::Pending, _) => TaskLife::Pending,
        (TaskState::Assigned, Some(id)) => TaskLife::Assigned(id),
        (TaskState::Accepted, Some(id)) => TaskLife::Accepted(id),
        (TaskState::Running, Some(id)) => TaskLife::Running(id),
        (TaskState::Paused, execution) => match (held_in, execution) {
            (Some(ExecutionState::Running), Some(id)) => TaskLife::Suspended(id),
            (Some(_), Some(id)) => TaskLife::HeldAccepted(id),
            _ => TaskLife::Held { unmet },
        },
        (TaskState::Succeeded, _) => TaskLife::Succeeded,
        (TaskState::Failed, _) => TaskLife::Failed,
        (state, None) => {
            return Err(StoreError::Malformed {
                what: "the state of a task without execution",
                value: state.to_string(),
            });
        }
    })
}
