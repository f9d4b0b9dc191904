//! What can be set on the output store.

use std::time::Duration;

/// Limits and sizes of the output store. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSettings {
    /// A stream up to this size is kept whole; of a longer one the first and
    /// the last half of this are kept.
    pub limit_per_stream: u64,
    /// A segment file that has reached this size is not appended to.
    pub segment_size: u64,
    /// So much of the disk, and at most a 20th of it, is left free, so that
    /// output never stops the databases nor its own deletion.
    pub reserve: u64,
    /// Longest run of bytes that is one row of the index. What the limit drops,
    /// it drops in such runs.
    pub longest_extent: u64,
    /// So many bytes may wait for the writer before appends have to wait.
    pub queue_size: u32,
    /// So many bytes are written at once; more are left for the next write.
    pub batch_size: usize,
    /// So many bytes may be written without being indexed.
    pub flush_size: u64,
    /// Written bytes are indexed after this time at the latest.
    pub flush_after: Duration,
}

impl OutputSettings {
    /// The settings of a server.
    #[must_use]
    pub const fn new(limit_per_stream: u64) -> Self {
        Self {
            limit_per_stream,
            segment_size: 64 << 20,
            reserve: 64 << 20,
            longest_extent: 4 << 20,
            queue_size: 32 << 20,
            batch_size: 8 << 20,
            flush_size: 64 << 20,
            flush_after: Duration::from_secs(2),
        }
    }
}
