//! What people do to a command by way of the server: hold it back, suspend it,
//! signal it.

use crate::domain::ExecutionId;
use crate::domain::execution::Suspension;
use crate::domain::signal::Signal;

use super::effect::Effect;
use super::execution::{RunClock, Stage, StopReason};
use super::record::Record;
use super::state::{AgentState, Turn};

impl AgentState {
    /// Holds an execution back, or lets it go on.
    pub(super) fn on_suspend(&mut self, turn: &mut Turn, id: ExecutionId, suspension: Suspension) {
        if !self.is_own(id) {
            return;
        }
        self.unconfirmed.remove(&id);
        self.hold(turn, id, suspension);
    }

    /// Sends a signal to a command that runs. What a suspended one does not
    /// take note of now it takes note of when it goes on. One that is just
    /// being started, or of which the supervisor has not told yet, gets it then.
    pub(super) fn on_signal(&mut self, turn: &mut Turn, id: ExecutionId, signal: Signal) {
        if !self.is_own(id) {
            return;
        }
        let Some(held) = self.executions.get_mut(&id) else { return };
        match held.stage {
            Stage::Running => turn.wants(Effect::Signal { execution: id, signal }),
            Stage::Starting | Stage::Restored => held.signals.push(signal),
            _ => {}
        }
    }

    /// Sends what was kept until the command ran.
    pub(super) fn send_kept_signals(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        for signal in std::mem::take(&mut held.signals) {
            turn.wants(Effect::Signal { execution: id, signal });
        }
    }

    /// After a welcome the server says which executions are held back, and
    /// nothing of the others, which go on. It has said so by the time that it
    /// acknowledges what was sent after the welcome.
    pub(super) fn expect_confirmation(&mut self, turn: &mut Turn) {
        let held_back = self.executions.values().filter(|held| {
            held.suspension != Suspension::No && !held.orphaned && !held.has_ended()
        });
        self.unconfirmed = held_back.map(super::execution::Execution::id).collect();
        if !self.unconfirmed.is_empty() {
            self.on_heartbeat_due(turn);
        }
    }

    /// What the server has not held back again since its welcome goes on.
    pub(super) fn release_unconfirmed(&mut self, turn: &mut Turn) {
        for id in std::mem::take(&mut self.unconfirmed) {
            self.hold(turn, id, Suspension::No);
        }
    }

    /// Suspends a command. One that does not stop when it is asked to is
    /// stopped a little later: that cannot be caught.
    pub(super) fn suspend_running(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if let Some(clock @ RunClock::Passes { .. }) = held.clock {
            let left = clock.left(turn.now.monotonic);
            held.clock = Some(RunClock::Stands { left });
            turn.wants(Effect::Journal(Record::Suspended { execution: id, left }));
        }
        let halt_at = turn.now.monotonic.after(self.limits.suspend_grace);
        self.set_deadline(id, Some(halt_at));
        turn.wants(Effect::Signal { execution: id, signal: Signal::Tstp });
    }

    /// Sets the moment at which the time of a command is up.
    pub(super) fn set_run_deadline(&mut self, turn: &Turn, id: ExecutionId) {
        let left = self.executions.get(&id).and_then(|held| held.clock?.left(turn.now.monotonic));
        self.set_deadline(id, left.map(|left| turn.now.monotonic.after(left)));
    }

    /// Whether the agent holds it for the database that has welcomed the agent.
    pub(super) fn is_own(&self, id: ExecutionId) -> bool {
        self.executions.get(&id).is_some_and(|held| {
            Some(&held.order.store) == self.store.as_ref()
                && held.stop != Some(StopReason::Superseded)
        })
    }

    fn hold(&mut self, turn: &mut Turn, id: ExecutionId, suspension: Suspension) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if held.suspension == suspension || held.has_ended() {
            return;
        }
        held.suspension = suspension;
        turn.wants(Effect::Journal(Record::Held { execution: id, suspension }));
        let is_running = matches!(held.stage, Stage::Running) && held.stop.is_none();
        let (is_suspended, shall_be) = (held.is_suspended(), suspension == Suspension::Run);
        match (is_running, is_suspended, shall_be) {
            (true, false, true) => self.suspend_running(turn, id),
            (true, true, false) => self.resume_running(turn, id),
            _ => self.refresh_startable(id),
        }
    }

    pub(super) fn resume_running(&mut self, turn: &mut Turn, id: ExecutionId) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        let (at, since_boot) = (turn.now.wall, Some(turn.now.monotonic.0));
        held.resume_clock(turn.now.monotonic);
        turn.wants(Effect::Journal(Record::Resumed { execution: id, at, since_boot }));
        turn.wants(Effect::Signal { execution: id, signal: Signal::Cont });
        self.set_run_deadline(turn, id);
    }
}
