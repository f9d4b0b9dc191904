//! The order in which an agent reacts, writes down and tells: nothing is told
//! that is not written down, and what can wait is done for many at once.
//!
//! Time comes as an argument, and [`Carrier`] does the rest, so that a
//! simulation works at the same desk as an agent.

use std::time::Duration;

use crate::agent::fsm::{AgentState, Effect, Event};
use crate::agent::outbox::Outbox;
use crate::domain::{Monotonic, Now};

/// How long that which can be done for many executions at once waits for more.
const LATE: Duration = Duration::from_millis(100);

/// The state machine, and the way to its journal and its link.
#[derive(Debug)]
pub struct Desk {
    pub state: AgentState,
    outbox: Outbox,
    /// When what was put off is done.
    late_at: Option<Monotonic>,
}

/// What the agent does after an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    GoOn,
    /// It leaves: nothing is left to do.
    Leave,
    /// It makes place for a new process.
    Restart,
}

/// Carries effects out, and puts some of it off.
pub trait Carrier {
    /// Called with each event before the state machine reacts to it.
    fn notice(&mut self, event: &Event);

    /// Carries out one effect. What is to be written down, and the end of the
    /// agent, do not come here.
    fn perform(&mut self, effect: Effect, concurrency: u32);

    /// Whether [`Self::do_late`] shall not wait.
    fn has_much(&self) -> bool;

    /// Whether something waits for [`Self::do_late`].
    fn has_late(&self) -> bool;

    /// Does what was put off. The records of it are written, or the disk takes
    /// none: what is told twice does no harm.
    fn do_late(&mut self);
}

impl Desk {
    #[must_use]
    pub const fn new(state: AgentState, outbox: Outbox) -> Self {
        Self { state, outbox, late_at: None }
    }

    /// Reacts to the events, and to those that `more` gives: some effects are
    /// answered on the spot.
    pub fn take(
        &mut self,
        now: Now,
        events: &mut Vec<Event>,
        hands: &mut impl Carrier,
        mut more: impl FnMut() -> Option<Event>,
    ) -> Next {
        let mut next = Next::GoOn;
        while !events.is_empty() {
            for event in events.drain(..) {
                hands.notice(&event);
                for effect in self.state.on(now, event) {
                    match effect {
                        Effect::Journal(record) => self.outbox.note(&record),
                        Effect::Restart => next = Next::Restart,
                        Effect::Exit => next = Next::Leave,
                        effect => hands.perform(effect, self.state.concurrency()),
                    }
                }
            }
            events.extend(std::iter::from_fn(&mut more));
        }
        while let Some((link, frame)) = self.state.next_reports(now) {
            self.outbox.post(link, frame);
        }
        self.write(now.monotonic, hands);
        next
    }

    /// Whether [`Event::Tick`] is due.
    #[must_use]
    pub fn is_tick_due(&self, now: Monotonic) -> bool {
        self.state.next_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// How long nothing is due.
    #[must_use]
    pub fn rest(&self, now: Monotonic) -> Option<Duration> {
        let next = self.state.next_deadline().into_iter().chain(self.late_at).min()?;
        Some(next.since(now))
    }

    /// Writes and sends what there is: the agent is about to leave.
    pub fn clear(&mut self, now: Monotonic) {
        self.outbox.write(now);
    }

    /// Writes and sends what cannot wait, and the rest when it is time.
    fn write(&mut self, now: Monotonic, hands: &mut impl Carrier) {
        let is_late = self.late_at.is_some_and(|at| at <= now);
        let may_try_again = self.outbox.retry_at().is_some_and(|at| at <= now);
        if self.outbox.is_urgent() || may_try_again || (is_late && !self.outbox.is_empty()) {
            self.outbox.write(now);
        }
        if is_late || hands.has_much() {
            self.late_at = None;
            hands.do_late();
        }
        if self.late_at.is_none() && (hands.has_late() || !self.outbox.is_empty()) {
            self.late_at = Some(now.after(LATE));
        }
    }
}
