//! The handle through which the server stores and reads output.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::error::OutputError;
use super::index::{Index, Readers};
use super::read::{Read, list_times, read_stream};
use super::segments::{Segments, list_segments};
use super::settings::OutputSettings;
use super::shared::Shared;
use super::writer::{Append, Reply, Request, Writer};
use crate::domain::execution::{OutputSizes, Stream};
use crate::domain::{Clock, ExecutionId, Timestamp};

/// Name of the index within the directory.
pub(super) const INDEX: &str = "index.db";

/// What one append takes of the queue on top of its bytes.
const APPEND_OVERHEAD: u32 = 256;

/// So many executions are deleted in one commit, so that appends get their turn.
const DELETED_AT_ONCE: usize = 1_000;

/// The output store. Clones are handles of the same store; when the last one is
/// gone it writes what it has and closes.
#[derive(Debug, Clone)]
pub struct OutputStore {
    shared: Arc<Shared>,
    requests: Sender<Request>,
    #[cfg(test)]
    pub(super) faults: super::segments::faults::Faults,
}

impl OutputStore {
    /// Opens the store in `directory`, makes it if there is none, and repairs
    /// what an interrupted server or a power cut left. Blocks on the disk.
    ///
    /// # Errors
    /// The directory cannot be used, the index was written by a newer program,
    /// or there are segments without an index.
    pub fn open(directory: &Path, settings: OutputSettings) -> Result<Self, OutputError> {
        fs::create_dir_all(directory)
            .map_err(|source| OutputError::file("create", directory, source))?;
        let mut segments = list_segments(directory)?;
        let index_path = directory.join(INDEX);
        if !segments.is_empty() && !index_path.exists() {
            return Err(OutputError::IndexMissing { directory: directory.to_owned() });
        }
        let mut index = Index::open(&index_path)?;
        let known = index.list_known()?;
        for (&segment, &end) in &known {
            let length = segments.get(&segment).copied().unwrap_or(0);
            if length < end {
                let streams = index.drop_missing(segment, length)?;
                tracing::warn!(segment, length, end, streams, "output is missing on disk");
            }
        }
        let writing = Segments::open(directory, settings, &segments)?;
        segments.retain(|number, _| !known.contains_key(number));
        for &leftover in segments.keys().filter(|number| writing.current() != Some(**number)) {
            writing.remove(leftover)?;
        }
        let shared = Shared::new(directory.to_owned(), settings, Readers::new(&index_path));
        shared.note_execution(ExecutionId(index.highest_execution()?));
        let live = index.live_bytes()?;
        shared.set_total(live);
        Self::start(Arc::new(shared), writing, index, live)
    }

    fn start(
        shared: Arc<Shared>,
        segments: Segments,
        index: Index,
        live: u64,
    ) -> Result<Self, OutputError> {
        let (requests, receiver) = mpsc::channel();
        let store = Self {
            shared: Arc::clone(&shared),
            requests,
            #[cfg(test)]
            faults: segments.faults(),
        };
        let directory = shared.directory.clone();
        let writer = Writer::new(shared, receiver, segments, index, live);
        thread::Builder::new()
            .name("output-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OutputError::file("start a writer for", &directory, source))?;
        Ok(store)
    }

    /// From now on it is kept when bytes came.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        // A second clock would be as good as the first one.
        let _ = self.shared.clock.set(clock);
        self
    }

    /// Appends bytes that begin at `offset` of the stream, and answers how long
    /// the stream is then. They can be read at once; only [`Self::sync`] makes
    /// them safe against a power cut. Bytes that are there already are not
    /// taken again. Waits while too many bytes are on their way to the disk.
    /// `limit` is how much of the stream is kept, as the server has it if none.
    ///
    /// # Errors
    /// [`OutputError::Gap`] when bytes before `offset` are missing. A failure
    /// of the disk: nothing of it was taken then, and the same call can succeed
    /// later.
    pub async fn append(
        &self,
        execution: ExecutionId,
        stream: Stream,
        offset: u64,
        bytes: Bytes,
        limit: Option<u64>,
    ) -> Result<u64, OutputError> {
        let cost = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let cost = cost.saturating_add(APPEND_OVERHEAD).min(self.shared.settings.queue_size);
        let room = Arc::clone(&self.shared.room).acquire_many_owned(cost).await;
        let room = room.map_err(|_| OutputError::Stopped)?;
        self.shared.state().on_queued(execution);
        let request = |reply| {
            Request::Append(Append { execution, stream, offset, bytes, limit, room, reply })
        };
        self.ask(request).await
    }

    /// Waits until all output of the execution that was appended before is safe
    /// on the disk, and answers how much that is. Costs nothing when there is
    /// none.
    ///
    /// # Errors
    /// A failure of the disk. What is safe then is less than was appended:
    /// [`Self::sizes`] tells from where to send again.
    pub async fn sync(&self, execution: ExecutionId) -> Result<OutputSizes, OutputError> {
        let sizes = self.sync_all(vec![execution]).await?;
        Ok(sizes.first().copied().unwrap_or_default())
    }

    /// As [`Self::sync`] for many executions; the sizes are in the same order.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub async fn sync_all(
        &self,
        executions: Vec<ExecutionId>,
    ) -> Result<Vec<OutputSizes>, OutputError> {
        let (is_unsynced, in_memory) = {
            let state = self.shared.state();
            let is_unsynced = executions.iter().any(|execution| state.is_unsynced(*execution));
            (is_unsynced, self.shared.sizes_in_memory(&state, &executions))
        };
        if is_unsynced {
            return self.ask(|reply| Request::Sync { executions, reply }).await;
        }
        if let Some(sizes) = in_memory {
            return Ok(sizes);
        }
        self.blocking(move |shared| {
            executions.iter().map(|execution| shared.find_indexed_sizes(*execution)).collect()
        })
        .await
    }

    /// How much output of the execution there is, synced or not.
    ///
    /// # Errors
    /// The index cannot be read.
    pub async fn sizes(&self, execution: ExecutionId) -> Result<OutputSizes, OutputError> {
        let sizes = self.sizes_of(vec![execution]).await?;
        Ok(sizes.first().copied().unwrap_or_default())
    }

    /// As [`Self::sizes`] for many executions, in the same order.
    ///
    /// # Errors
    /// As [`Self::sizes`].
    pub async fn sizes_of(
        &self,
        executions: Vec<ExecutionId>,
    ) -> Result<Vec<OutputSizes>, OutputError> {
        let in_memory = self.shared.sizes_in_memory(&self.shared.state(), &executions);
        if let Some(sizes) = in_memory {
            return Ok(sizes);
        }
        self.blocking(move |shared| {
            executions.iter().map(|execution| shared.find_sizes(*execution)).collect()
        })
        .await
    }

    /// Reads up to `limit` bytes of a stream from `offset` on. Sees all that
    /// was appended, and never holds the writer up.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn read(
        &self,
        execution: ExecutionId,
        stream: Stream,
        offset: u64,
        limit: u64,
    ) -> Result<Read, OutputError> {
        self.blocking(move |shared| read_stream(shared, execution, stream, offset, limit)).await
    }

    /// When the bytes from `offset` up to `to` came: the offset of each run of
    /// bytes and its time, at most `most` of them.
    ///
    /// # Errors
    /// The index cannot be read.
    pub async fn times(
        &self,
        execution: ExecutionId,
        stream: Stream,
        range: std::ops::Range<u64>,
        most: usize,
    ) -> Result<Vec<(u64, Timestamp)>, OutputError> {
        self.blocking(move |shared| list_times(shared, execution, stream, &range, most)).await
    }

    /// A wait that ends when the stream is longer than `offset`, and when the
    /// execution is completed or deleted after this call. So call this first,
    /// then look whether the execution has ended, and only if it has not, await
    /// the answer.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn wait_for_more(
        &self,
        execution: ExecutionId,
        stream: Stream,
        offset: u64,
    ) -> impl Future<Output = Result<(), OutputError>> + Send + use<> {
        let follower = self.shared.follow(execution);
        let store = self.clone();
        async move {
            if store.sizes(execution).await?.of(stream) > offset {
                return Ok(());
            }
            let is_closed = store.shared.is_closed();
            // One who waits must not keep the store open.
            drop(store);
            if !is_closed {
                follower.wait(stream, offset).await;
            }
            Ok(())
        }
    }

    /// Says that no more output of the execution will come: nobody waits for it
    /// any longer.
    pub fn complete(&self, execution: ExecutionId) {
        // Once the store has stopped nobody waits either.
        let _ = self.requests.send(Request::Complete(execution));
    }

    /// Deletes the output of executions, and the segments that are empty then.
    ///
    /// # Errors
    /// A failure of the disk. Some may be deleted then; the same call can be
    /// made again.
    pub async fn delete(&self, executions: Vec<ExecutionId>) -> Result<(), OutputError> {
        let (with_output, without): (Vec<_>, Vec<_>) =
            executions.into_iter().partition(|execution| self.has_trace_of(*execution));
        for execution in without {
            self.complete(execution);
        }
        for some in with_output.chunks(DELETED_AT_ONCE) {
            let executions = some.to_vec();
            self.ask(|reply| Request::Delete { executions, reply }).await?;
        }
        Ok(())
    }

    /// Bytes of output that are kept, over all executions. Shortly after an
    /// append to a stream above its limit it is a little too high.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.shared.total()
    }

    /// Brings everything to the disk and stops writing. Reading goes on.
    ///
    /// # Errors
    /// The last bytes could not be written. Agents send them again.
    pub async fn stop(&self) -> Result<(), OutputError> {
        match self.ask(|reply| Request::Stop { reply }).await {
            Err(OutputError::Stopped) => Ok(()),
            result => result,
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.shared.directory
    }

    #[cfg(test)]
    pub(super) fn followers(&self) -> usize {
        self.shared.state().followers.len()
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, OutputError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).map_err(|_| OutputError::Stopped)?;
        answer.await.map_err(|_| OutputError::Stopped)?
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, OutputError> + Send + 'static,
    ) -> Result<T, OutputError> {
        let shared = Arc::clone(&self.shared);
        let worked = tokio::task::spawn_blocking(move || work(&shared)).await;
        worked.map_err(|_| OutputError::Stopped)?
    }

    fn has_trace_of(&self, execution: ExecutionId) -> bool {
        self.shared.may_be_indexed(execution) || self.shared.state().is_unsynced(execution)
    }
}
