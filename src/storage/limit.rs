//! A limit on the bytes that transfers move in a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest stretch for which a thread does not look whether it shall stop.
const LOOK: Duration = Duration::from_millis(100);

/// Clones share one limit; the usual one is none.
#[derive(Debug, Clone, Default)]
pub struct RateLimit(Option<Arc<Bucket>>);

#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// When what was let through so far has had its time.
    free_at: Mutex<Instant>,
}

impl RateLimit {
    /// At most so many bytes in a second, at least one.
    #[must_use]
    pub fn of(bytes_per_second: u64) -> Self {
        let free_at = Mutex::new(Instant::now());
        Self(Some(Arc::new(Bucket { bytes_per_second: bytes_per_second.max(1), free_at })))
    }

    /// The limit, bytes in a second.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.0.as_ref().map(|bucket| bucket.bytes_per_second)
    }

    /// Waits until so many bytes may move.
    pub(super) async fn pass(&self, bytes: u64) {
        if let Some(at) = self.reserve(bytes) {
            tokio::time::sleep_until(at).await;
        }
    }

    /// The same on a thread that may block. Goes on at once when it is cancelled.
    pub(super) fn pass_blocking(&self, bytes: u64, cancel: &CancellationToken) {
        let Some(at) = self.reserve(bytes) else { return };
        while !cancel.is_cancelled() {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left.min(LOOK));
        }
    }

    /// How much is moved at once, so that a slow rate is an even one.
    pub(super) fn piece(&self, usual: u64) -> u64 {
        self.bytes_per_second().map_or(usual, |rate| usual.min((rate / 8).max(16 << 10)))
    }

    /// From when on bytes may move; what follows waits until they have moved.
    fn reserve(&self, bytes: u64) -> Option<Instant> {
        let bucket = self.0.as_ref()?;
        let now = Instant::now();
        let mut free_at = bucket.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(clippy::cast_precision_loss, reason = "a share of a second, rounded")]
        let seconds = bytes as f64 / bucket.bytes_per_second as f64;
        let start = now.max(*free_at);
        *free_at = start + Duration::from_secs_f64(seconds.min(1e9));
        Some(*free_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_who_share_a_limit_keep_it_together() {
        let limit = RateLimit::of(1000);
        let start = Instant::now();
        let other = limit.clone();
        tokio::join!(limit.pass(1500), other.pass(500));
        limit.pass(1000).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        // What was not used before is not made up for.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let start = Instant::now();
        limit.pass(2000).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        RateLimit::default().pass(1 << 60).await;
    }

    #[test]
    fn a_thread_that_waits_can_be_cancelled() {
        let (limit, cancel) = (RateLimit::of(1), CancellationToken::new());
        cancel.cancel();
        limit.pass_blocking(1 << 30, &cancel);
        assert_eq!(limit.piece(1 << 24), 16 << 10);
        assert_eq!(RateLimit::default().piece(1 << 24), 1 << 24);
    }
}
