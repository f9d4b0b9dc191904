//! The provider takes the machine away: what is held goes to others while there
//! is time.

use crate::domain::execution::{Failure, FailureClass, Outcome};

use super::effect::Effect;
use super::execution::StopReason;
use super::state::{AgentState, Link, Turn, UnaskedTerm};

/// The number of SIGTERM.
const TERM: i32 = 15;

impl AgentState {
    /// Takes nothing new from now on, and has the server give away what is held;
    /// its verdicts end what runs here. With nothing left the agent leaves.
    pub(super) fn on_evict(&mut self, turn: &mut Turn, reason: String) {
        if self.evicted.is_some() {
            return;
        }
        self.evicted = Some(reason);
        self.draining = true;
        self.tell_eviction(turn);
        self.on_heartbeat_due(turn);
    }

    /// Said after each welcome: the server may have missed it.
    pub(super) fn tell_eviction(&self, turn: &mut Turn) {
        if let (Some(reason), Link::Up { link }) = (&self.evicted, self.link) {
            turn.wants(Effect::SendEvicted { link, reason: reason.clone() });
        }
    }

    /// What a machine that goes does to its commands is not theirs.
    pub(super) fn with_eviction(&self, stop: Option<StopReason>, outcome: Outcome) -> Outcome {
        if stop.is_some() || outcome.failure.is_none() {
            return outcome;
        }
        let failure = match (&self.evicted, self.limits.unasked_term) {
            (Some(reason), _) => Failure {
                class: FailureClass::Evicted,
                reason: format!("its machine was taken away: {reason}"),
            },
            (None, UnaskedTerm::EndOfJob) if outcome.signal == Some(TERM) => Failure {
                class: FailureClass::Lost,
                reason: "it got SIGTERM, by which a batch system ends a job".to_owned(),
            },
            _ => return outcome,
        };
        Outcome { failure: Some(failure), ..outcome }
    }
}
