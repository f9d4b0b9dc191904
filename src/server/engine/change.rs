//! What the engine wants on disk: final rows, one per object.
//!
//! The engine writes into one open [`ChangeSet`] while the store commits the
//! one before. A row that changes again before its set is handed over is
//! overwritten in place, so a burst of commands folds into few rows and one
//! `fsync` without any work by the writer.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::api::cache::CacheKey;
use crate::api::token::Role;
use crate::domain::batch::{BatchPause, BatchSettings};
use crate::domain::demand::Demand;
use crate::domain::execution::{
    ExecutionState, Failure, FailureClass, Keepsake, Outcome, OutputSizes,
};
use crate::domain::hire::Hire;
use crate::domain::recruiter::Recruiter;
use crate::domain::task::{Hold, TaskState};
use crate::domain::worker::{Machine, WantedState, WorkerSettings};
use crate::domain::{BatchId, BatchName, ExecutionId, JobId, TaskId, Timestamp, TokenId, WorkerId};

use super::hiring::JobRow;
use super::runtimes::Runtimes;
use super::state::{Counters, Requirement};

/// The part of a task that never changes after it is made.
#[derive(Debug, Clone)]
pub struct NewTaskRow {
    pub id: TaskId,
    pub batch: BatchId,
    pub name: Option<String>,
    /// The spec as JSON.
    pub spec: Arc<str>,
    pub created_at: Timestamp,
    pub created_by: Arc<str>,
    pub requirements: Vec<Requirement>,
    pub tags: BTreeMap<String, String>,
    pub priority: i32,
    pub demand: Demand,
}

/// The part of a task that only an edit changes.
#[derive(Debug, Clone)]
pub struct EditedTaskRow {
    pub batch: BatchId,
    pub name: Option<String>,
    /// The spec as JSON.
    pub spec: Arc<str>,
    pub requirements: Vec<Requirement>,
    pub tags: BTreeMap<String, String>,
    pub priority: i32,
    pub demand: Demand,
}

/// The part of a task that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    pub state: TaskState,
    /// None: it is in the state that the database has already.
    pub entered: Option<Entered>,
    /// The latest execution.
    pub execution: Option<ExecutionId>,
    pub attempts: u32,
    pub retries_left: u32,
    pub losses: u32,
    pub hold: Hold,
    /// It is held, and waits for no other task.
    pub released: bool,
    pub revision: u32,
    pub hidden: bool,
}

/// How a task came into its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    pub at: Timestamp,
    pub failure: Option<Box<Failure>>,
}

/// A task that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedTask {
    pub id: TaskId,
    /// Its last state: requirements that this meets are met for good and go too,
    /// the others stay unmet.
    pub state: TaskState,
}

/// An execution whole.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionRow {
    pub task: TaskId,
    pub attempt: u32,
    /// The revision of the task by which the agent goes.
    pub revision: u32,
    pub worker: Option<WorkerId>,
    pub worker_name: Arc<str>,
    pub state: ExecutionState,
    pub ending: Option<Ending>,
    pub assigned_at: Timestamp,
    pub accepted_at: Option<Timestamp>,
    /// When its data were complete, if a heartbeat told before the command started.
    pub ready_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// How it ended; of one that sends its outputs once more, how it had ended
    /// before.
    pub outcome: Option<Box<Outcome>>,
    pub output: OutputSizes,
    /// None but on workers of the original.
    pub keepsake: Option<Box<Keepsake>>,
}

/// What an execution has made that others may take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRow {
    pub execution: ExecutionId,
    pub key: CacheKey,
    pub output: String,
    /// As JSON.
    pub files: String,
}

/// Why an execution that is still under way shall end, and what its task does then.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Ending {
    /// A person cancelled the task: it fails.
    Cancel,
    /// The same, and its command gets no time to clean up.
    Kill,
    /// A person wants it run anew: it becomes pending with fresh budgets.
    Relaunch,
    /// Its worker is being deleted: it counts as lost.
    Delete,
}

/// A batch whole.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRow {
    /// None: deleted by a person, and only there until its tasks are.
    pub name: Option<BatchName>,
    pub counters: Counters,
    pub pause: BatchPause,
    pub settings: BatchSettings,
    pub runtimes: Runtimes,
    /// What hired machines that are gone have cost, by currency.
    pub spent: BTreeMap<String, f64>,
}

/// A worker as the database keeps it; its live figures stay in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRow {
    pub name: Arc<str>,
    pub machine: Machine,
    pub settings: WorkerSettings,
    pub wanted: WantedState,
    /// Why it was taken out of service.
    pub failure: Option<Arc<str>>,
    pub version: String,
    pub succeeded: u64,
    pub failed: u64,
    pub registered_at: Timestamp,
    pub created_by: Arc<str>,
    /// Its machine, where that was hired.
    pub hire: Option<Box<Hire>>,
}

/// A token as the database keeps it: only the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    pub name: String,
    pub role: Role,
    pub worker: Option<WorkerId>,
    pub hash: [u8; 32],
    /// Until when a hired machine may join with it, once.
    pub join_until: Option<Timestamp>,
    pub created_at: Timestamp,
    pub created_by: Arc<str>,
    /// None: never.
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

/// One line of the audit table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub at: Timestamp,
    pub who: Arc<str>,
    pub action: &'static str,
    pub detail: String,
}

/// The reply to a change, kept for its repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRow {
    pub at: Timestamp,
    pub key: Arc<str>,
    pub request_hash: [u8; 32],
    pub reply: String,
}

/// The ids that the next new objects get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextIds {
    pub task: TaskId,
    pub execution: ExecutionId,
    pub worker: WorkerId,
    pub batch: BatchId,
    pub token: TokenId,
    pub job: JobId,
}

/// All that one commit writes.
#[derive(Debug, Default)]
pub struct ChangeSet {
    pub new_tasks: Vec<NewTaskRow>,
    pub tasks: FxHashMap<TaskId, TaskRow>,
    pub edited_tasks: FxHashMap<TaskId, EditedTaskRow>,
    /// Tasks that only changed their batch.
    pub moved_tasks: FxHashMap<TaskId, (BatchId, BatchName)>,
    pub deleted_tasks: Vec<DeletedTask>,
    pub executions: FxHashMap<ExecutionId, ExecutionRow>,
    pub cached: Vec<CachedRow>,
    /// Batches that changed. Their rows are made when the set is handed over,
    /// and not for each task that is counted in them.
    pub touched_batches: FxHashSet<BatchId>,
    pub batches: FxHashMap<BatchId, BatchRow>,
    /// Deleted batches some of whose tasks can be taken off the disk.
    pub purged_batches: Vec<BatchId>,
    /// None: the worker is deleted.
    pub workers: FxHashMap<WorkerId, Option<WorkerRow>>,
    /// None: the token is revoked.
    pub tokens: FxHashMap<TokenId, Option<TokenRow>>,
    /// None: the job is forgotten.
    pub jobs: FxHashMap<JobId, Option<JobRow>>,
    /// None: the recruiter is gone.
    pub recruiters: FxHashMap<(BatchId, u32), Option<Recruiter>>,
    /// Tokens that were used since they were last written, and when.
    pub used_tokens: FxHashMap<TokenId, Timestamp>,
    pub audit: Vec<AuditRow>,
    pub replies: Vec<ReplyRow>,
    /// Executions of deleted tasks whose output is gone.
    pub collected_garbage: Vec<ExecutionId>,
    /// Set when an id was given out.
    pub next_ids: Option<NextIds>,
    /// Replies older than this are forgotten.
    pub forget_replies_before: Option<Timestamp>,
    /// Tasks that may leave the memory once this is on disk, if they are still ended then.
    pub ended_tasks: Vec<TaskId>,
}

impl ChangeSet {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new_tasks.is_empty()
            && self.tasks.is_empty()
            && self.edited_tasks.is_empty()
            && self.moved_tasks.is_empty()
            && self.deleted_tasks.is_empty()
            && self.executions.is_empty()
            && self.cached.is_empty()
            && self.touched_batches.is_empty()
            && self.batches.is_empty()
            && self.purged_batches.is_empty()
            && self.workers.is_empty()
            && self.tokens.is_empty()
            && self.jobs.is_empty()
            && self.recruiters.is_empty()
            && self.used_tokens.is_empty()
            && self.audit.is_empty()
            && self.replies.is_empty()
            && self.collected_garbage.is_empty()
            && self.next_ids.is_none()
            && self.forget_replies_before.is_none()
    }
}

/// A failure that carries only its class and a reason.
pub(super) fn failure(class: FailureClass, reason: impl Into<String>) -> Failure {
    Failure { class, reason: reason.into() }
}
