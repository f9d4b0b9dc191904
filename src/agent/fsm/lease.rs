//! The right to start commands: it ends some time after the last word from the
//! server, before the server gives the executions to others.

use std::time::Duration;

use crate::domain::Monotonic;

/// No command starts later than this before the server counts the worker as
/// lost. Half of the time to loss where that is less than a minute.
const MARGIN: Duration = Duration::from_secs(30);

/// When the server last heard of this agent, as far as the agent knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lease {
    /// Silence after which the server counts the worker as lost; none: never.
    lost_after: Option<Duration>,
    /// When the latest message that was acknowledged had been *sent*: the
    /// server has heard of the agent then or later. The date of the
    /// acknowledgement proves less, it may have lain in a buffer while the
    /// machine was suspended.
    heard_at: Option<Monotonic>,
}

impl Lease {
    pub const fn set_lost_after(&mut self, lost_after: Option<Duration>) {
        self.lost_after = lost_after;
    }

    /// A message that was sent at `sent_at` has been acknowledged.
    pub fn renew(&mut self, sent_at: Monotonic) {
        self.heard_at = self.heard_at.max(Some(sent_at));
    }

    pub fn allows_start(&self, now: Monotonic) -> bool {
        let Some(heard_at) = self.heard_at else { return false };
        let Some(lost_after) = self.lost_after else { return true };
        let margin = MARGIN.min(lost_after / 2);
        now.since(heard_at) <= lost_after.saturating_sub(margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    #[test]
    fn commands_start_only_soon_after_word_from_the_server() {
        let mut lease = Lease::default();
        assert!(!lease.allows_start(at(0)));
        lease.set_lost_after(Some(Duration::from_mins(10)));
        lease.renew(at(100));
        assert!(lease.allows_start(at(670)));
        assert!(!lease.allows_start(at(671)));
        lease.renew(at(50));
        assert!(lease.allows_start(at(670)), "an older acknowledgement takes nothing away");
    }

    #[test]
    fn a_short_time_to_loss_leaves_half_of_it() {
        let mut lease = Lease::default();
        lease.set_lost_after(Some(Duration::from_secs(20)));
        lease.renew(at(0));
        assert!(lease.allows_start(at(10)));
        assert!(!lease.allows_start(at(11)));
    }

    #[test]
    fn a_worker_that_is_never_lost_may_always_start() {
        let mut lease = Lease::default();
        lease.renew(at(0));
        assert!(lease.allows_start(at(1_000_000)));
    }
}
