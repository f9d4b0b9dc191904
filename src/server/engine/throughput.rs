//! How many tasks of a batch end in a minute, of late. Kept in memory only.

use std::time::Duration;

use crate::domain::Monotonic;

/// So many minutes are looked at.
const MINUTES: usize = 10;

/// Tasks that ended in each of the last minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throughput {
    counts: [u32; MINUTES],
    /// The minute of the newest count.
    newest: u64,
    /// The minute of the first count of all.
    first: Option<u64>,
}

impl Throughput {
    pub fn add(&mut self, now: Monotonic) {
        self.turn(now);
        let count = &mut self.counts[place(self.newest)];
        *count = count.saturating_add(1);
        self.first.get_or_insert(self.newest);
    }

    /// Tasks a minute over the last ten, or over as many as there were.
    #[must_use]
    pub fn per_minute(&self, now: Monotonic) -> f64 {
        let mut current = *self;
        current.turn(now);
        let Some(first) = current.first else { return 0.0 };
        let minutes = (current.newest - first + 1).min(MINUTES as u64);
        let total: u32 = current.counts.iter().sum();
        // The present minute has only just begun.
        let into_minute = (now.0.as_secs_f64() % 60.0) / 60.0;
        let whole = u32::try_from(minutes - 1).unwrap_or(0);
        f64::from(total) / (f64::from(whole) + into_minute.max(1.0 / 60.0))
    }

    /// Makes the present minute the newest one.
    fn turn(&mut self, now: Monotonic) {
        let minute = minute_of(now.0);
        let passed = minute.saturating_sub(self.newest).min(MINUTES as u64);
        for back in 0..passed {
            self.counts[place(minute - back)] = 0;
        }
        self.newest = self.newest.max(minute);
    }
}

fn place(minute: u64) -> usize {
    usize::try_from(minute % MINUTES as u64).unwrap_or(0)
}

const fn minute_of(time: Duration) -> u64 {
    time.as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_long_past_does_not_count() {
        let mut throughput = Throughput::default();
        assert!(throughput.per_minute(at(6_000)).abs() < f64::EPSILON);
        for second in 0..600 {
            throughput.add(at(6_000 + second));
        }
        let rate = throughput.per_minute(at(6_600));
        assert!((55.0..=65.0).contains(&rate), "{rate}");
        assert!(throughput.per_minute(at(8_000)).abs() < f64::EPSILON);
    }

    #[test]
    fn a_short_life_is_not_taken_for_ten_minutes() {
        let mut throughput = Throughput::default();
        for second in 0..30 {
            throughput.add(at(6_000 + second));
        }
        let rate = throughput.per_minute(at(6_030));
        assert!((55.0..=65.0).contains(&rate), "{rate}");
    }
}
