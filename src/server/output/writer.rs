//! The one thread that writes segments and index.
//!
//! It takes all that waits, writes it in one go, and answers. What it wrote can
//! be read at once; the index is told later, of many streams in one commit and
//! only after the segments were synced: when somebody asks for a sync, after
//! some time, or after some amount.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::OutputError;
use super::index::{Changes, Committed, Index, StreamChange};
use super::segments::{Place, Segments};
use super::shared::{LiveOutput, Shared, State};
use super::stream::{Extent, StreamState};
use crate::domain::ExecutionId;
use crate::domain::execution::{OutputSizes, Stream};

/// So many executions may stay in memory after their output was indexed.
const MAX_LIVE: usize = 16_384;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, OutputError>>;

/// Executions to sync, and where their sizes go.
type Sync = (Vec<ExecutionId>, Reply<Vec<OutputSizes>>);

/// What the writer is asked for, in order.
#[derive(Debug)]
pub(super) enum Request {
    Append(Append),
    Sync { executions: Vec<ExecutionId>, reply: Reply<Vec<OutputSizes>> },
    Complete(ExecutionId),
    Delete { executions: Vec<ExecutionId>, reply: Reply<()> },
    Stop { reply: Reply<()> },
}

#[derive(Debug)]
pub(super) struct Append {
    pub execution: ExecutionId,
    pub stream: Stream,
    pub offset: u64,
    pub bytes: Bytes,
    /// Bytes that are kept of the stream, if it has a limit of its own.
    pub limit: Option<u64>,
    /// Given back when the bytes are written.
    pub room: OwnedSemaphorePermit,
    pub reply: Reply<u64>,
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    segments: Segments,
    index: Index,
    /// Bytes that extents in the index name.
    indexed: u64,
    /// Bytes written since the index was last told.
    unindexed: u64,
    /// When the index is told at the latest.
    flush_due: Option<Instant>,
    /// Executions of which the index does not know all.
    dirty: FxHashSet<ExecutionId>,
    /// Reused for every write.
    buffer: Vec<u8>,
}

/// All that waited, sorted by kind.
#[derive(Debug, Default)]
struct Batch {
    appends: Vec<Append>,
    syncs: Vec<Sync>,
    completed: Vec<ExecutionId>,
    deleted: Vec<ExecutionId>,
    deletes: Vec<Reply<()>>,
    stops: Vec<Reply<()>>,
    bytes: usize,
}

/// The new bytes of a batch, stream by stream.
#[derive(Debug, Default)]
struct Staged {
    groups: Vec<Group>,
    by_stream: FxHashMap<(ExecutionId, Stream), usize>,
}

/// New bytes of one stream in one piece.
#[derive(Debug)]
struct Group {
    execution: ExecutionId,
    stream: Stream,
    offset: u64,
    end: u64,
    limit: Option<u64>,
    parts: Vec<Bytes>,
}

/// An append that is answered after the write.
#[derive(Debug)]
struct Staying {
    execution: ExecutionId,
    stream: Stream,
    reply: Reply<u64>,
    _room: OwnedSemaphorePermit,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        requests: Receiver<Request>,
        segments: Segments,
        index: Index,
        indexed: u64,
    ) -> Self {
        Self {
            shared,
            requests,
            segments,
            index,
            indexed,
            unindexed: 0,
            flush_due: None,
            dirty: FxHashSet::default(),
            buffer: Vec::new(),
        }
    }

    /// Works until all handles are gone or one says stop.
    pub fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            if !batch.stops.is_empty() {
                self.stop(batch);
                return;
            }
            self.on_batch(batch);
        }
        self.shared.close();
        if let Err(error) = self.flush(&[]) {
            tracing::warn!(%error, "the last output was not indexed; agents send it again");
        }
    }

    fn stop(mut self, mut batch: Batch) {
        self.shared.close();
        let stops = std::mem::take(&mut batch.stops);
        self.on_batch(batch);
        let result = self.flush(&[]);
        for reply in stops {
            let _ = reply.send(result.clone());
        }
    }

    /// Waits for a request, or until the index has to be told, and takes all
    /// else that is there by then. None: nobody can ask any more.
    fn next_batch(&self) -> Option<Batch> {
        let mut batch = Batch::default();
        let first = match self.flush_due {
            None => self.requests.recv().ok()?,
            Some(due) => {
                match self.requests.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(request) => request,
                    Err(RecvTimeoutError::Timeout) => return Some(batch),
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        batch.add(first);
        while batch.bytes < self.shared.settings.batch_size && batch.stops.is_empty() {
            match self.requests.try_recv() {
                Ok(request) => batch.add(request),
                Err(_) => break,
            }
        }
        Some(batch)
    }

    fn on_batch(&mut self, batch: Batch) {
        self.on_appends(batch.appends);
        for execution in batch.completed {
            self.shared.state().announce_end(execution);
        }
        let (dirty, clean): (Vec<_>, Vec<_>) =
            batch.syncs.into_iter().partition(|(executions, _)| self.is_any_dirty(executions));
        self.answer_syncs(clean, &Ok(()));
        let is_due = self.flush_due.is_some_and(|due| due <= Instant::now());
        let is_much = self.unindexed >= self.shared.settings.flush_size;
        if is_due || is_much || !dirty.is_empty() || !batch.deletes.is_empty() {
            let flushed = self.flush(&batch.deleted);
            if let Err(error) = &flushed {
                tracing::error!(error = error as &dyn std::error::Error, "cannot store output");
            }
            self.answer_syncs(dirty, &flushed);
            for reply in batch.deletes {
                let _ = reply.send(flushed.clone());
            }
        }
    }

    fn is_any_dirty(&self, executions: &[ExecutionId]) -> bool {
        executions.iter().any(|execution| self.dirty.contains(execution))
    }

    /// Answers with the sizes, all of which are safe on the disk unless the
    /// flush failed.
    fn answer_syncs(&self, syncs: Vec<Sync>, flushed: &Result<(), OutputError>) {
        for (executions, reply) in syncs {
            let sizes = flushed.clone().and_then(|()| {
                executions.iter().map(|execution| self.shared.find_sizes(*execution)).collect()
            });
            let _ = reply.send(sizes);
        }
    }

    /// Writes the new bytes of all appends at once, then answers each.
    fn on_appends(&mut self, appends: Vec<Append>) {
        if appends.is_empty() {
            return;
        }
        let executions: Vec<ExecutionId> = appends.iter().map(|append| append.execution).collect();
        let (written, staying) = match self.load(&executions) {
            Ok(()) => {
                let (staged, staying) = self.stage(appends);
                (self.write(staged), staying)
            }
            Err(error) => (Err(error), appends.into_iter().map(Staying::from).collect()),
        };
        let mut state = self.shared.state();
        for execution in executions {
            state.on_unqueued(execution);
        }
        for Staying { execution, stream, reply, .. } in staying {
            let size = state.live.get(&execution).map_or(0, |output| output.of(stream).row.size);
            let _ = reply.send(written.clone().map(|()| size));
        }
    }

    /// Fetches what the index knows of streams that are not in memory.
    fn load(&self, executions: &[ExecutionId]) -> Result<(), OutputError> {
        let missing: FxHashSet<ExecutionId> = {
            let state = self.shared.state();
            executions.iter().filter(|id| !state.live.contains_key(id)).copied().collect()
        };
        for execution in missing {
            let stdout = self.shared.find_indexed(execution, Stream::Stdout)?;
            let stderr = self.shared.find_indexed(execution, Stream::Stderr)?;
            let output = LiveOutput {
                stdout: StreamState::indexed(stdout),
                stderr: StreamState::indexed(stderr),
            };
            self.shared.state().live.insert(execution, output);
        }
        Ok(())
    }

    /// Sorts new bytes by stream and refuses appends that leave a gap.
    fn stage(&self, appends: Vec<Append>) -> (Staged, Vec<Staying>) {
        let state = self.shared.state();
        let mut staged = Staged::default();
        let mut staying = Vec::with_capacity(appends.len());
        for append in appends {
            let Append { execution, stream, offset, bytes, limit, room, reply } = append;
            match staged.add(&state, (execution, stream), limit, offset, bytes) {
                Ok(()) => staying.push(Staying { execution, stream, reply, _room: room }),
                Err(have) => {
                    let _ = reply.send(Err(OutputError::Gap { execution, stream, offset, have }));
                }
            }
        }
        (staged, staying)
    }

    /// Writes the new bytes and makes them part of their streams.
    fn write(&mut self, staged: Staged) -> Result<(), OutputError> {
        self.buffer.clear();
        for part in staged.groups.iter().flat_map(|group| &group.parts) {
            self.buffer.extend_from_slice(part);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let Place { segment, mut position } = self.segments.append(&self.buffer)?;
        let at = self.shared.clock.get().map(|clock| clock.now().wall);
        let mut state = self.shared.state();
        for Group { execution, stream, offset, end, limit, .. } in staged.groups {
            let extent = Extent { offset, length: end - offset, segment, position, at };
            position += extent.length;
            let output = state.live.entry(execution).or_default();
            let mut settings = self.shared.settings;
            settings.limit_per_stream = limit.unwrap_or(settings.limit_per_stream);
            output.of_mut(stream).extend(extent, &settings);
            self.dirty.insert(execution);
            self.shared.note_execution(execution);
            state.announce(execution);
        }
        self.unindexed += self.buffer.len() as u64;
        self.shared.set_total(self.indexed + self.unindexed);
        if self.flush_due.is_none() {
            self.flush_due = Some(Instant::now() + self.shared.settings.flush_after);
        }
        Ok(())
    }

    /// Brings the segments to the disk and then tells the index of what was
    /// written and deleted.
    ///
    /// # Errors
    /// When the segments could not be synced, the streams end again where the
    /// index knows them to end. When the index could not be written, it is
    /// tried again.
    fn flush(&mut self, deleted: &[ExecutionId]) -> Result<(), OutputError> {
        self.flush_due = None;
        if let Err(error) = self.segments.sync() {
            self.shared.state().live.clear();
            self.dirty.clear();
            self.on_indexed_bytes(self.indexed);
            return Err(error);
        }
        for execution in deleted {
            self.dirty.remove(execution);
        }
        let changes = Changes {
            streams: self.take_changes(deleted),
            deleted,
            written: self.segments.unindexed(),
            current: self.segments.current(),
        };
        match self.index.commit(&changes) {
            Ok(committed) => {
                self.on_committed(committed);
                Ok(())
            }
            Err(error) => {
                self.flush_due = Some(Instant::now() + self.shared.settings.flush_after);
                Err(error.into())
            }
        }
    }

    /// What the index does not know yet. Deleted executions leave the memory.
    fn take_changes(&self, deleted: &[ExecutionId]) -> Vec<StreamChange> {
        let mut state = self.shared.state();
        for execution in deleted {
            state.live.remove(execution);
            state.announce_end(*execution);
        }
        let outputs = self.dirty.iter().filter_map(|id| Some((*id, state.live.get(id)?)));
        outputs
            .flat_map(|(execution, output)| {
                [Stream::Stdout, Stream::Stderr]
                    .map(|stream| (execution, stream, output.of(stream)))
            })
            .filter(|(_, _, state)| state.is_dirty())
            .map(|(execution, stream, state)| StreamChange {
                execution,
                stream,
                row: state.row,
                hole_moved: state.hole_moved,
                extents: state.pending.clone(),
            })
            .collect()
    }

    fn on_committed(&mut self, committed: Committed) {
        {
            let mut state = self.shared.state();
            for execution in self.dirty.drain() {
                if let Some(output) = state.live.get_mut(&execution) {
                    output.stdout.on_indexed();
                    output.stderr.on_indexed();
                }
            }
            if state.live.len() > MAX_LIVE {
                state.live.clear();
            }
        }
        self.segments.on_indexed();
        self.on_indexed_bytes(committed.live);
        for segment in committed.emptied {
            if let Err(error) = self.segments.remove(segment) {
                tracing::warn!(%error, "an emptied segment stays until the next start");
            }
        }
    }

    fn on_indexed_bytes(&mut self, indexed: u64) {
        self.indexed = indexed;
        self.unindexed = 0;
        self.shared.set_total(indexed);
    }
}

impl Batch {
    fn add(&mut self, request: Request) {
        match request {
            Request::Append(append) => {
                self.bytes += append.room.num_permits();
                self.appends.push(append);
            }
            Request::Sync { executions, reply } => self.syncs.push((executions, reply)),
            Request::Complete(execution) => self.completed.push(execution),
            Request::Delete { executions, reply } => {
                self.deleted.extend(executions);
                self.deletes.push(reply);
            }
            Request::Stop { reply } => self.stops.push(reply),
        }
    }
}

impl From<Append> for Staying {
    fn from(append: Append) -> Self {
        let Append { execution, stream, reply, room, .. } = append;
        Self { execution, stream, reply, _room: room }
    }
}

impl Staged {
    /// Adds the part of the bytes that is new. Err: where the stream ends, when
    /// bytes before `offset` are missing.
    fn add(
        &mut self,
        state: &State,
        (execution, stream): (ExecutionId, Stream),
        limit: Option<u64>,
        offset: u64,
        mut bytes: Bytes,
    ) -> Result<(), u64> {
        let known = self.by_stream.get(&(execution, stream)).copied();
        let end = match known {
            Some(group) => self.groups[group].end,
            None => state.live.get(&execution).map_or(0, |output| output.of(stream).row.size),
        };
        let Some(repeated) = end.checked_sub(offset) else { return Err(end) };
        let repeated = usize::try_from(repeated).unwrap_or(usize::MAX).min(bytes.len());
        let new = bytes.split_off(repeated);
        if new.is_empty() {
            return Ok(());
        }
        let group = known.unwrap_or_else(|| {
            let (offset, parts) = (end, Vec::new());
            self.groups.push(Group { execution, stream, offset, end, limit, parts });
            self.by_stream.insert((execution, stream), self.groups.len() - 1);
            self.groups.len() - 1
        });
        self.groups[group].end += new.len() as u64;
        self.groups[group].parts.push(new);
        Ok(())
    }
}
