//! The machine's clocks: the one place that reads them.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::domain::time::{Clock, Monotonic, Now, Timestamp};

/// The wall clock, and the monotonic clock that counts suspended time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    fn now(&self) -> Now {
        // By way of the C library, so that a test can set this process's date.
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            wall: Timestamp(i64::try_from(wall.as_micros()).unwrap_or(i64::MAX)),
            monotonic: Monotonic(since_origin(clock_gettime(ClockId::Boottime))),
        }
    }
}

fn since_origin(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}
