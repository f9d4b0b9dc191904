//! The clocks of one machine: a date that people set, and a count that only
//! grows, a little faster or slower than others.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use scitq::domain::{Clock, Monotonic, Now, Timestamp};

use super::calendar::Moment;

/// The date at the beginning of the world.
const BEGINNING: i64 = 1_800_000_000_000_000;

/// Set by the world; read by all that runs on that machine.
#[derive(Debug, Clone, Default)]
pub struct MachineClock(Arc<Hands>);

#[derive(Debug, Default)]
struct Hands {
    now: AtomicU64,
    booted_at: AtomicU64,
    /// Parts in a million by which it is too fast.
    drift: AtomicI64,
    /// Microseconds by which the date is ahead.
    ahead: AtomicI64,
}

impl MachineClock {
    pub fn new(drift: i64, ahead: i64) -> Self {
        let clock = Self::default();
        clock.0.drift.store(drift, Ordering::Relaxed);
        clock.0.ahead.store(ahead, Ordering::Relaxed);
        clock
    }

    pub fn set(&self, now: Moment) {
        self.0.now.store(now, Ordering::Relaxed);
    }

    /// The date jumps; the count does not.
    pub fn jump(&self, by: i64) {
        self.0.ahead.fetch_add(by, Ordering::Relaxed);
    }

    /// The machine starts: its count begins anew.
    pub fn boot(&self, now: Moment) {
        self.0.booted_at.store(now, Ordering::Relaxed);
    }

    /// The moment at which so much time will have passed on this clock.
    pub fn moment_after(&self, now: Moment, wait: Duration) -> Moment {
        let wait = i128::try_from(wait.as_micros()).unwrap_or(i128::MAX / 4);
        let rate = 1_000_000 + i128::from(self.0.drift.load(Ordering::Relaxed));
        let passes = wait.saturating_mul(1_000_000) / rate + 1;
        now.saturating_add(u64::try_from(passes).unwrap_or(u64::MAX))
    }

    fn count(&self) -> i64 {
        let now = self.0.now.load(Ordering::Relaxed);
        let since = now.saturating_sub(self.0.booted_at.load(Ordering::Relaxed));
        let since = i128::from(since);
        let drift = i128::from(self.0.drift.load(Ordering::Relaxed));
        i64::try_from(since + since * drift / 1_000_000).unwrap_or(i64::MAX)
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Now {
        let now = self.0.now.load(Ordering::Relaxed);
        let wall = BEGINNING
            .saturating_add_unsigned(now)
            .saturating_add(self.0.ahead.load(Ordering::Relaxed));
        let monotonic = Duration::from_micros(self.count().unsigned_abs());
        Now { wall: Timestamp(wall), monotonic: Monotonic(monotonic) }
    }
}
