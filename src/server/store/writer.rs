//! The writer thread: turns one [`ChangeSet`] after the other into one
//! transaction each, and checkpoints when there is time or need.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use thiserror::Error;

use crate::domain::{BatchId, ExecutionId, TaskId};

use super::super::engine::ChangeSet;
use super::{StoreError, audit, batch, execution, meta, reply, requirement, task, token, worker};

/// The log is written back to the database when it is idle and larger than this.
const IDLE_CHECKPOINT_BYTES: u64 = 4 << 20;
/// And also when it is busy, when the log is larger than this.
const BUSY_CHECKPOINT_BYTES: u64 = 128 << 20;
/// So many tasks of deleted batches are taken away in one commit, so that others
/// get their turn.
const PURGED_AT_ONCE: usize = 1_000;
/// So long without a commit is idle.
const IDLE: Duration = Duration::from_millis(500);

/// What is to be done when a commit has ended, on the writer's thread.
pub type AfterCommit = Box<dyn FnOnce(Result<&CommitDone<'_>, CommitError>) + Send>;

/// One commit and what follows it.
pub struct CommitJob {
    pub changes: ChangeSet,
    pub then: AfterCommit,
}

/// A commit that is on disk.
pub struct CommitDone<'a> {
    /// Executions of deleted tasks: their output is to be deleted too.
    pub deleted_executions: Vec<ExecutionId>,
    /// Deleted batches of which nothing is left.
    pub gone_batches: Vec<BatchId>,
    connection: &'a Connection,
}

/// Why nothing of a commit is on disk.
#[derive(Debug, Clone, Error)]
pub enum CommitError {
    /// Nothing was written; it may go well later.
    #[error("the disk is full")]
    Full,
    /// The disk or the database cannot be trusted any more.
    #[error("{0}")]
    Fatal(Arc<str>),
}

/// The handle of the writer thread.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<Sender<CommitJob>>,
    thread: Option<JoinHandle<()>>,
}

/// The connection that writes, and the log beside its database.
#[derive(Debug)]
struct Committer {
    connection: Connection,
    wal: PathBuf,
}

/// What a [`Writer`] without a thread was given: whoever holds it says when it
/// is written, and whether that goes well.
#[derive(Debug)]
pub struct SteppedWriter {
    committer: Committer,
    jobs: Receiver<CommitJob>,
}

impl Writer {
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let (jobs, incoming) = channel();
        let committer = Committer { connection, wal: wal_path(path) };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(committer, &incoming))
            .map_err(StoreError::Thread)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) fn stepped(connection: Connection, path: &Path) -> (Self, SteppedWriter) {
        let (sender, jobs) = channel();
        let committer = Committer { connection, wal: wal_path(path) };
        (Self { jobs: Some(sender), thread: None }, SteppedWriter { committer, jobs })
    }

    /// Hands over one commit. Commits are carried out in order.
    pub fn commit(&self, job: CommitJob) {
        if let Some(jobs) = &self.jobs {
            // The thread only ends after this handle is dropped.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl SteppedWriter {
    /// The next commit that is wanted.
    pub fn next_job(&mut self) -> Option<CommitJob> {
        self.jobs.try_recv().ok()
    }

    /// Writes it, and does what follows.
    pub fn carry_out(&mut self, job: CommitJob) {
        self.committer.carry_out(job);
    }
}

impl Committer {
    fn carry_out(&mut self, job: CommitJob) {
        match write(&mut self.connection, &job.changes) {
            Ok((deleted_executions, gone_batches)) => {
                let done =
                    CommitDone { deleted_executions, gone_batches, connection: &self.connection };
                (job.then)(Ok(&done));
            }
            Err(error) => (job.then)(Err(class(&error))),
        }
        if wal_size(&self.wal) > BUSY_CHECKPOINT_BYTES {
            checkpoint(&self.connection);
        }
    }
}

impl CommitDone<'_> {
    /// The spec of a task.
    #[must_use]
    pub fn spec(&self, id: TaskId) -> Option<Arc<str>> {
        task::find_spec(self.connection, id).ok().flatten()
    }
}

impl fmt::Debug for CommitJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitJob").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl fmt::Debug for CommitDone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitDone")
            .field("deleted_executions", &self.deleted_executions)
            .finish_non_exhaustive()
    }
}

/// The log that SQLite keeps beside the database.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

fn run(mut committer: Committer, incoming: &Receiver<CommitJob>) {
    loop {
        match incoming.recv_timeout(IDLE) {
            Ok(job) => committer.carry_out(job),
            Err(RecvTimeoutError::Timeout) => {
                if wal_size(&committer.wal) > IDLE_CHECKPOINT_BYTES {
                    checkpoint(&committer.connection);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    checkpoint(&committer.connection);
}

fn write(
    connection: &mut Connection,
    changes: &ChangeSet,
) -> rusqlite::Result<(Vec<ExecutionId>, Vec<BatchId>)> {
    if changes.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let transaction = connection.transaction()?;
    batch::write(&transaction, &changes.batches)?;
    task::insert(&transaction, &changes.new_tasks, &changes.tasks)?;
    requirement::insert(&transaction, &changes.new_tasks)?;
    task::update(&transaction, &changes.new_tasks, &changes.tasks)?;
    task::edit(&transaction, &changes.edited_tasks)?;
    task::move_to_batch(&transaction, &changes.moved_tasks)?;
    execution::write(&transaction, &changes.executions)?;
    let mut deleted = task::delete(&transaction, &changes.deleted_tasks)?;
    let (purged, gone) =
        task::delete_of_batches(&transaction, &changes.purged_batches, PURGED_AT_ONCE)?;
    deleted.extend(purged);
    execution::forget_garbage(&transaction, &changes.collected_garbage)?;
    worker::write(&transaction, &changes.workers)?;
    token::write(&transaction, &changes.tokens)?;
    token::note_use(&transaction, &changes.used_tokens)?;
    audit::write(&transaction, &changes.audit)?;
    reply::write(&transaction, &changes.replies, changes.forget_replies_before)?;
    if let Some(next) = &changes.next_ids {
        meta::write_next_ids(&transaction, next)?;
    }
    transaction.commit()?;
    Ok((deleted, gone))
}

/// Whether a failed commit may be tried again later. After an I/O error nobody
/// knows which pages reached the disk, so only a full disk may.
fn class(error: &rusqlite::Error) -> CommitError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => CommitError::Full,
        _ => CommitError::Fatal(error.to_string().into()),
    }
}

fn wal_size(wal: &Path) -> u64 {
    std::fs::metadata(wal).map_or(0, |metadata| metadata.len())
}

/// Writes the log back, as far as no reader needs it, and starts it anew when
/// none does. Never waits for a reader: commits wait for us.
fn checkpoint(connection: &Connection) {
    let _ = connection.busy_timeout(Duration::ZERO);
    let outcome = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = outcome {
        tracing::debug!(%error, "checkpoint put off");
    }
    let _ = connection.busy_timeout(super::connection::PATIENCE);
}
