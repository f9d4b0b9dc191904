//! Reads that never block the writer: a pool for requests, and one connection
//! of the engine's own for point reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::api::audit::{AuditEntry, ListAudit};
use crate::api::batch::FailureGroup;
use crate::api::cache::{CacheHit, CacheKey};
use crate::api::execution::{ExecutionView, ListExecutions};
use crate::api::task::{RelatedTask, TaskView};
use crate::domain::execution::ExecutionState;
use crate::domain::task::{TaskSpec, TaskState};
use crate::domain::{BatchId, BatchName, ExecutionId, TaskId, Timestamp, TokenId};

use super::super::engine::change::{ExecutionRow, TokenRow};
use super::execution::{ExecutionTimes, OwnLimit};
use super::load::{ReadTask, read_task};
use super::reply::StoredReply;
use super::task_filter::TaskFilter;
use super::task_list::{self, FoundTasks, TaskQuery};
use super::task_view::FoundTask;
use super::whole_list::{self, PlainExecution, PlainFilter, PlainTask, WorkerCount};
use super::{
    StoreError, audit, cached, connection, execution, reply, requirement, task, task_failure,
    task_view, token,
};

/// Reads at the same time; more wait for their turn.
const CONNECTIONS: usize = 4;

/// Reads for requests.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// One task with all that the database knows of it.
#[derive(Debug)]
pub struct WholeTask {
    pub view: TaskView,
    pub spec: TaskSpec,
    pub retries_left: u32,
    /// When it last became pending; see the schema.
    pub pending_since: Timestamp,
    pub requirements: Vec<RelatedTask>,
    /// Required tasks that were deleted, with the state of those that still run.
    pub deleted_requirements: Vec<(TaskId, Option<TaskState>)>,
    pub dependents: Vec<RelatedTask>,
    pub executions: Vec<ExecutionView>,
}

/// The engine's own point reads, of what the last commit left.
#[derive(Debug)]
pub struct EngineReader {
    connection: Connection,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// One page of the task list.
    pub async fn list_tasks(self: &Arc<Self>, query: TaskQuery) -> Result<FoundTasks, StoreError> {
        self.read(move |connection| task_list::list(connection, &query)).await
    }

    /// How many tasks fit, per state.
    pub async fn count_tasks(
        self: &Arc<Self>,
        filter: TaskFilter,
    ) -> Result<BTreeMap<TaskState, u64>, StoreError> {
        self.read(move |connection| task_list::count(connection, &filter)).await
    }

    /// Failed tasks of a batch in the order of their ids, from behind `after`.
    pub async fn failed_tasks(
        self: &Arc<Self>,
        batch: BatchName,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.read(move |connection| task_failure::ids(connection, &batch, after, limit)).await
    }

    /// Why tasks of a batch failed: the ten most frequent reasons among its
    /// newest 10,000 failed tasks.
    pub async fn batch_failures(
        self: &Arc<Self>,
        batch: BatchName,
    ) -> Result<Vec<FailureGroup>, StoreError> {
        self.read(move |connection| task_failure::failures(connection, &batch)).await
    }

    pub async fn find_task(self: &Arc<Self>, id: TaskId) -> Result<Option<WholeTask>, StoreError> {
        self.read(move |connection| {
            // One snapshot for all parts.
            let snapshot = connection.unchecked_transaction()?;
            let Some(found) = task_view::find(&snapshot, id)? else { return Ok(None) };
            let FoundTask { view, spec, retries_left, pending_since } = found;
            Ok(Some(WholeTask {
                view,
                spec,
                retries_left,
                pending_since,
                requirements: requirement::related(&snapshot, id)?,
                deleted_requirements: requirement::deleted(&snapshot, id)?,
                dependents: requirement::dependents(&snapshot, id)?,
                executions: execution::of_task(&snapshot, id)?,
            }))
        })
        .await
    }

    /// The line of one task in the list.
    pub async fn find_task_view(
        self: &Arc<Self>,
        id: TaskId,
    ) -> Result<Option<TaskView>, StoreError> {
        self.read(move |connection| Ok(task_view::find(connection, id)?.map(|found| found.view)))
            .await
    }

    /// States of those of the tasks that exist.
    pub async fn task_states(
        self: &Arc<Self>,
        ids: Vec<TaskId>,
    ) -> Result<rustc_hash::FxHashMap<TaskId, TaskState>, StoreError> {
        self.read(move |connection| task::states(connection, &ids)).await
    }

    pub async fn list_executions(
        self: &Arc<Self>,
        query: ListExecutions,
        states: Vec<ExecutionState>,
        limit: u32,
    ) -> Result<Vec<ExecutionView>, StoreError> {
        self.read(move |connection| execution::list(connection, &query, &states, limit)).await
    }

    pub async fn find_execution(
        self: &Arc<Self>,
        id: ExecutionId,
    ) -> Result<Option<ExecutionView>, StoreError> {
        self.read(move |connection| execution::find(connection, id)).await
    }

    /// Whole, in the order of their ids.
    pub async fn plain_tasks(
        self: &Arc<Self>,
        filter: PlainFilter,
    ) -> Result<Vec<PlainTask>, StoreError> {
        self.read(move |connection| whole_list::tasks(connection, &filter)).await
    }

    /// Whole, in the order of their ids.
    pub async fn plain_executions(
        self: &Arc<Self>,
        filter: PlainFilter,
    ) -> Result<Vec<PlainExecution>, StoreError> {
        self.read(move |connection| whole_list::executions(connection, &filter)).await
    }

    /// How many latest executions each worker has, by their states.
    pub async fn count_by_worker(self: &Arc<Self>) -> Result<Vec<WorkerCount>, StoreError> {
        self.read(whole_list::count_by_worker).await
    }

    pub async fn list_tokens(self: &Arc<Self>) -> Result<Vec<(TokenId, TokenRow)>, StoreError> {
        self.read(token::load).await
    }

    /// What was done, the latest first.
    pub async fn list_audit(
        self: &Arc<Self>,
        query: ListAudit,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(move |connection| Ok(audit::list(connection, &query, limit)?)).await
    }

    /// Tasks that ended before a date and for which none waits, the oldest first.
    pub async fn ended_tasks(
        self: &Arc<Self>,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<TaskId>, StoreError> {
        self.read(move |connection| Ok(task::list_ended(connection, before, limit)?)).await
    }

    /// When those of the executions that there are were given out and ended.
    pub async fn execution_times(
        self: &Arc<Self>,
        ids: Vec<ExecutionId>,
    ) -> Result<Vec<ExecutionTimes>, StoreError> {
        self.read(move |connection| Ok(execution::times(connection, &ids)?)).await
    }

    /// Executions of deleted tasks whose output may still be there.
    pub async fn list_garbage(self: &Arc<Self>) -> Result<Vec<ExecutionId>, StoreError> {
        self.read(|connection| Ok(execution::load_garbage(connection)?)).await
    }

    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = Arc::clone(&self.permits).acquire_owned().await;
        let readers = Arc::clone(self);
        let task = spawn_blocking(move || {
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => connection::open_reader(&readers.path)?,
            };
            let result = query(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        });
        match task.await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Thread(std::io::Error::other(error))),
        }
    }
}

impl Readers {
    /// Those of the executions that there are, with the limit that their task sets
    /// on the output that is kept.
    pub async fn output_limits(
        self: &Arc<Self>,
        ids: Vec<ExecutionId>,
    ) -> Result<FxHashMap<ExecutionId, OwnLimit>, StoreError> {
        self.read(move |connection| Ok(execution::output_limits(connection, &ids)?)).await
    }
}

impl Readers {
    /// What executions with this key have made, latest first.
    pub async fn find_cached(self: &Arc<Self>, key: CacheKey) -> Result<Vec<CacheHit>, StoreError> {
        self.read(move |connection| cached::find(connection, &key)).await
    }
}

impl EngineReader {
    pub(super) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// A task as the last commit left it.
    pub fn find_task(&self, id: TaskId) -> Result<Option<ReadTask>, StoreError> {
        read_task(&self.connection, id)
    }

    /// An execution as the last commit left it.
    pub fn find_execution(&self, id: ExecutionId) -> Result<Option<ExecutionRow>, StoreError> {
        execution::find_row(&self.connection, id)
    }

    /// The failed tasks of a batch.
    pub fn list_failed(&self, batch: BatchId) -> Result<Vec<TaskId>, StoreError> {
        Ok(task::list_failed(&self.connection, batch)?)
    }

    /// The ended tasks of a batch on which tasks wait.
    pub fn list_required_of_batch(&self, batch: BatchId) -> Result<Vec<TaskId>, StoreError> {
        Ok(requirement::required_of_batch(&self.connection, batch)?)
    }

    /// The limit on the run of an execution's command, seconds.
    pub fn run_limit(&self, id: ExecutionId) -> Result<Option<u32>, StoreError> {
        Ok(execution::run_limit(&self.connection, id)?)
    }

    /// What was answered under that key.
    pub fn find_reply(&self, key: &str) -> Result<Option<StoredReply>, StoreError> {
        Ok(reply::find(&self.connection, key)?)
    }
}
