//! The machine's clocks: the one place that reads them.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::domain::time::{Clock, Monotonic, Now, Timestamp};

/// The wall clock, and the monotonic clock that counts suspended time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall = clock_gettime(ClockId::Realtime);
        Now {
            wall: Timestamp(wall.tv_sec * 1_000_000 + wall.tv_nsec / 1_000),
            monotonic: Monotonic(since_origin(clock_gettime(ClockId::Boottime))),
        }
    }
}

fn since_origin(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}
