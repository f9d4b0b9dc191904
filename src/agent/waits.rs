//! Growing waits between tries, each shifted by chance so that a thousand
//! agents do not dial a returning server in step.

use std::time::Duration;

/// A row of waits: each up to twice the one before.
#[derive(Debug)]
pub struct Waits {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Waits {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Whether no wait was taken since the last [`Self::reset`].
    pub fn is_first(&self) -> bool {
        self.next == self.first
    }

    /// Between half and all of the wait that is due.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        whole.mul_f64(0.5 + 0.5 * chance())
    }

    /// Something went well: start again with short waits.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between 0 and 1. Without a source of chance the waits are merely in step.
fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_start_again() {
        let mut waits = Waits::new(Duration::from_millis(100), Duration::from_secs(5));
        assert!(waits.is_first());
        for expected in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = waits.next_wait();
            assert!(wait >= Duration::from_millis(expected / 2), "{wait:?}");
            assert!(wait <= Duration::from_millis(expected), "{wait:?}");
        }
        waits.reset();
        assert!(waits.is_first());
    }
}
