//! The writer thread: turns one [`ChangeSet`] after the other into one
//! transaction each, and checkpoints when there is time or need.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};
use thiserror::Error;

use crate::domain::{BatchId, ExecutionId, TaskId};

use super::super::engine::ChangeSet;
use super::{
    StoreError, audit, batch, cached, execution, job, meta, recruiter, reply, requirement, task,
    token, worker,
};

/// When nothing else is to be done, more than this is written back from the log
/// to the database.
const IDLE_CHECKPOINT_BYTES: u64 = 4 << 20;
/// And more than this at any time.
const BUSY_CHECKPOINT_BYTES: u64 = 128 << 20;
/// A log that is longer than this is cut when it is idle. Otherwise it is written
/// anew from its beginning: a commit that makes the file longer takes the disk
/// nearly twice as long.
const LONG_LOG_BYTES: u64 = 32 << 20;
/// So many tasks of deleted batches are taken away in one commit, so that others
/// get their turn.
const PURGED_AT_ONCE: usize = 1_000;
/// A page in the log, with what is said of it there.
const FRAME_BYTES: u64 = 4096 + 24;
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
    /// Bytes of the log that no checkpoint has looked at, as SQLite tells it.
    unwritten: Arc<AtomicU64>,
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
        let committer = Committer::new(connection, path)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(committer, &incoming))
            .map_err(StoreError::Thread)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) fn stepped(
        connection: Connection,
        path: &Path,
    ) -> Result<(Self, SteppedWriter), StoreError> {
        let (sender, jobs) = channel();
        let committer = Committer::new(connection, path)?;
        Ok((Self { jobs: Some(sender), thread: None }, SteppedWriter { committer, jobs }))
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
    fn new(mut connection: Connection, path: &Path) -> rusqlite::Result<Self> {
        let unwritten = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&unwritten);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            told.store(u64::try_from(pages).unwrap_or(0) * FRAME_BYTES, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { connection, wal: wal_path(path), unwritten })
    }

    fn carry_out(&mut self, job: CommitJob) {
        match write(&mut self.connection, &job.changes) {
            Ok((deleted_executions, gone_batches)) => {
                let done =
                    CommitDone { deleted_executions, gone_batches, connection: &self.connection };
                (job.then)(Ok(&done));
            }
            Err(error) => (job.then)(Err(class(&error))),
        }
        if self.unwritten.load(Ordering::Relaxed) > BUSY_CHECKPOINT_BYTES {
            self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    /// Whether the log wants attention when there is nothing else to do.
    fn has_leisure_work(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed) > IDLE_CHECKPOINT_BYTES
    }

    fn on_leisure(&self) {
        let length = std::fs::metadata(&self.wal).map_or(0, |metadata| metadata.len());
        self.checkpoint(if length > LONG_LOG_BYTES {
            "PRAGMA wal_checkpoint(TRUNCATE)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        });
    }

    /// Writes the log back, as far as no reader needs it. Never waits for a
    /// reader: commits wait for us.
    fn checkpoint(&self, how: &str) {
        // What a reader keeps from being written back is told again with the next commit.
        self.unwritten.store(0, Ordering::Relaxed);
        let _ = self.connection.busy_timeout(Duration::ZERO);
        if let Err(error) = self.connection.query_row(how, [], |_| Ok(())) {
            tracing::debug!(%error, "checkpoint put off");
        }
        let _ = self.connection.busy_timeout(super::connection::PATIENCE);
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
        let next = if committer.has_leisure_work() {
            incoming.recv_timeout(IDLE)
        } else {
            incoming.recv().map_err(RecvTimeoutError::from)
        };
        match next {
            Ok(job) => committer.carry_out(job),
            Err(RecvTimeoutError::Timeout) => committer.on_leisure(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    committer.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
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
    cached::write(&transaction, &changes.cached)?;
    let mut deleted = task::delete(&transaction, &changes.deleted_tasks)?;
    let (purged, gone) =
        task::delete_of_batches(&transaction, &changes.purged_batches, PURGED_AT_ONCE)?;
    deleted.extend(purged);
    execution::forget_garbage(&transaction, &changes.collected_garbage)?;
    worker::write(&transaction, &changes.workers)?;
    token::write(&transaction, &changes.tokens)?;
    job::write(&transaction, &changes.jobs)?;
    recruiter::write(&transaction, &changes.recruiters)?;
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
