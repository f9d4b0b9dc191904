//! What the writer and everyone else look at together.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, watch};

use super::error::OutputError;
use super::index::Readers;
use super::settings::OutputSettings;
use super::stream::{StreamRow, StreamState};
use crate::domain::execution::{OutputSizes, Stream};
use crate::domain::{Clock, ExecutionId};

#[derive(Debug)]
pub(super) struct Shared {
    pub directory: PathBuf,
    pub settings: OutputSettings,
    pub readers: Readers,
    /// Tells when bytes came; without one nobody knows.
    pub clock: OnceLock<Arc<dyn Clock>>,
    /// Room for bytes on their way to the writer.
    pub room: Arc<Semaphore>,
    state: Mutex<State>,
    /// Bytes kept over all streams.
    total: AtomicU64,
    /// No execution above this one has output.
    highest: AtomicU64,
}

/// Held for microseconds only: nobody reads or writes a file under this lock.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Streams that were lately written to. All others stand in the index only.
    pub live: FxHashMap<ExecutionId, LiveOutput>,
    /// How many appends are on their way to the writer.
    pub queued: FxHashMap<ExecutionId, u32>,
    /// Where those are told who wait for more.
    pub followers: FxHashMap<ExecutionId, watch::Sender<Progress>>,
}

/// The streams of one execution.
#[derive(Debug, Default)]
pub(super) struct LiveOutput {
    pub stdout: StreamState,
    pub stderr: StreamState,
}

/// What a follower is told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub sizes: OutputSizes,
    pub complete: bool,
}

/// One who waits for more output of an execution.
#[derive(Debug)]
pub(super) struct Follower {
    shared: Arc<Shared>,
    execution: ExecutionId,
    receiver: Option<watch::Receiver<Progress>>,
}

impl LiveOutput {
    pub const fn of(&self, stream: Stream) -> &StreamState {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    pub const fn of_mut(&mut self, stream: Stream) -> &mut StreamState {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    pub const fn sizes(&self) -> OutputSizes {
        OutputSizes { stdout: self.stdout.row.size, stderr: self.stderr.row.size }
    }

    pub const fn is_dirty(&self) -> bool {
        self.stdout.is_dirty() || self.stderr.is_dirty()
    }
}

impl State {
    /// Whether bytes of the execution are written or on their way, and not yet
    /// safe on the disk.
    pub fn is_unsynced(&self, execution: ExecutionId) -> bool {
        self.queued.contains_key(&execution)
            || self.live.get(&execution).is_some_and(LiveOutput::is_dirty)
    }

    pub fn on_queued(&mut self, execution: ExecutionId) {
        *self.queued.entry(execution).or_default() += 1;
    }

    pub fn on_unqueued(&mut self, execution: ExecutionId) {
        if let Some(count) = self.queued.get_mut(&execution) {
            *count -= 1;
            if *count == 0 {
                self.queued.remove(&execution);
            }
        }
    }

    /// Tells the followers of an execution how far its output is.
    pub fn announce(&self, execution: ExecutionId) {
        if let Some(follower) = self.followers.get(&execution)
            && let Some(output) = self.live.get(&execution)
        {
            follower.send_modify(|progress| progress.sizes = output.sizes());
        }
    }

    /// Tells the followers of an execution that they need not wait.
    pub fn announce_end(&mut self, execution: ExecutionId) {
        if let Some(follower) = self.followers.remove(&execution) {
            follower.send_modify(|progress| progress.complete = true);
        }
    }
}

impl Shared {
    pub fn new(directory: PathBuf, settings: OutputSettings, readers: Readers) -> Self {
        Self {
            directory,
            settings,
            readers,
            clock: OnceLock::new(),
            room: Arc::new(Semaphore::new(settings.queue_size as usize)),
            state: Mutex::default(),
            total: AtomicU64::new(0),
            highest: AtomicU64::new(0),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub fn note_execution(&self, execution: ExecutionId) {
        self.highest.fetch_max(execution.0, Ordering::Release);
    }

    /// Whether the index can have output of the execution: saves the look-up
    /// for all new ones.
    pub fn may_be_indexed(&self, execution: ExecutionId) -> bool {
        execution.0 <= self.highest.load(Ordering::Acquire)
    }

    /// What the index knows of a stream. Blocks on the disk.
    pub fn find_indexed(
        &self,
        execution: ExecutionId,
        stream: Stream,
    ) -> Result<StreamRow, OutputError> {
        if !self.may_be_indexed(execution) {
            return Ok(StreamRow::default());
        }
        Ok(self.readers.find_stream(execution, stream)?.unwrap_or_default())
    }

    /// The sizes of both streams as far as they are safe on the disk. Blocks on it.
    pub fn find_indexed_sizes(&self, execution: ExecutionId) -> Result<OutputSizes, OutputError> {
        Ok(OutputSizes {
            stdout: self.find_indexed(execution, Stream::Stdout)?.size,
            stderr: self.find_indexed(execution, Stream::Stderr)?.size,
        })
    }

    /// The sizes of both streams. Blocks on the disk when they were not lately
    /// written to.
    pub fn find_sizes(&self, execution: ExecutionId) -> Result<OutputSizes, OutputError> {
        let live = self.state().live.get(&execution).map(LiveOutput::sizes);
        live.map_or_else(|| self.find_indexed_sizes(execution), Ok)
    }

    /// The sizes when none of them has to be looked up in the index.
    pub fn sizes_in_memory(
        &self,
        state: &State,
        executions: &[ExecutionId],
    ) -> Option<Vec<OutputSizes>> {
        let find = |execution: &ExecutionId| match state.live.get(execution) {
            Some(output) => Some(output.sizes()),
            None if self.may_be_indexed(*execution) => None,
            None => Some(OutputSizes::default()),
        };
        executions.iter().map(find).collect()
    }

    /// Nothing is taken any more, and nobody needs to wait for more.
    pub fn close(&self) {
        self.room.close();
        self.state().followers.clear();
    }

    pub fn is_closed(&self) -> bool {
        self.room.is_closed()
    }

    /// Registers one who waits; from now on it misses nothing.
    pub fn follow(self: &Arc<Self>, execution: ExecutionId) -> Follower {
        let receiver = self.state().followers.entry(execution).or_default().subscribe();
        Follower { shared: Arc::clone(self), execution, receiver: Some(receiver) }
    }
}

impl Follower {
    /// Waits until the stream is longer than `offset`, or complete.
    pub async fn wait(mut self, stream: Stream, offset: u64) {
        if let Some(receiver) = &mut self.receiver {
            let is_enough =
                |progress: &Progress| progress.complete || progress.sizes.of(stream) > offset;
            // An error says that the store has stopped: then nothing comes either.
            let _ = receiver.wait_for(is_enough).await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.receiver = None;
        let mut state = self.shared.state();
        if let Some(sender) = state.followers.get(&self.execution)
            && sender.receiver_count() == 0
        {
            state.followers.remove(&self.execution);
        }
    }
}
