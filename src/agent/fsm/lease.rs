//! The right to start commands and to send outputs: it ends some time after the
//! last word from the server, before the server gives the executions to others.

use std::time::Duration;

use crate::domain::Monotonic;

/// Nothing starts later than this before the server counts the worker as
/// lost. Half of the time to loss where that is less than a minute.
const MARGIN: Duration = Duration::from_secs(30);

/// When the server last heard of this agent, as far as the agent knows.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Silence after which the server counts the worker as lost; none: never.
    lost_after: Option<Duration>,
    /// When the latest message that was acknowledged had been *sent*: the
    /// server has heard of the agent then or later. The date of the
    /// acknowledgement proves less, it may have lain in a buffer while the
    /// machine was suspended.
    heard_at: Option<Monotonic>,
    /// Outputs may be sent under it at this moment.
    has_uploads: bool,
}

impl Lease {
    /// Of an agent that no server has welcomed.
    pub const NONE: Self = Self { lost_after: None, heard_at: None, has_uploads: false };

    pub const fn set_lost_after(&mut self, lost_after: Option<Duration>) {
        self.lost_after = lost_after;
    }

    /// Silence after which the server counts the worker as lost, whole seconds;
    /// none: never.
    pub fn lost_after_seconds(&self) -> Option<u64> {
        self.lost_after.map(|lost_after| lost_after.as_secs())
    }

    /// A message that was sent at `sent_at` has been acknowledged.
    pub fn renew(&mut self, sent_at: Monotonic) {
        self.heard_at = self.heard_at.max(Some(sent_at));
    }

    /// Whether commands may be started, and outputs be sent.
    pub fn holds(&self, now: Monotonic) -> bool {
        self.heard_at.is_some() && self.ends_at().is_none_or(|end| now <= end)
    }

    /// Outputs are sent under it from now on.
    pub const fn cover_uploads(&mut self) {
        self.has_uploads = true;
    }

    /// Whether it has ended while outputs were sent. Says so once.
    pub fn withdraw_uploads(&mut self, now: Monotonic) -> bool {
        let has_ended = self.has_uploads && !self.holds(now);
        self.has_uploads &= !has_ended;
        has_ended
    }

    /// When [`Self::withdraw_uploads`] is due unless the lease is renewed.
    pub fn uploads_end_at(&self) -> Option<Monotonic> {
        let end = self.ends_at().filter(|_| self.has_uploads)?;
        Some(end.after(Duration::from_micros(1)))
    }

    /// When it ends unless it is renewed; none: never, or it has not begun.
    fn ends_at(&self) -> Option<Monotonic> {
        let lost_after = self.lost_after?;
        let margin = MARGIN.min(lost_after / 2);
        Some(self.heard_at?.after(lost_after.saturating_sub(margin)))
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
        let mut lease = Lease::NONE;
        assert!(!lease.holds(at(0)));
        lease.set_lost_after(Some(Duration::from_mins(10)));
        lease.renew(at(100));
        assert!(lease.holds(at(670)));
        assert!(!lease.holds(at(671)));
        lease.renew(at(50));
        assert!(lease.holds(at(670)), "an older acknowledgement takes nothing away");
    }

    #[test]
    fn a_short_time_to_loss_leaves_half_of_it() {
        let mut lease = Lease::NONE;
        lease.set_lost_after(Some(Duration::from_secs(20)));
        lease.renew(at(0));
        assert!(lease.holds(at(10)));
        assert!(!lease.holds(at(11)));
    }

    #[test]
    fn a_worker_that_is_never_lost_may_always_start() {
        let mut lease = Lease::NONE;
        lease.renew(at(0));
        assert!(lease.holds(at(1_000_000)));
    }
}
