//! Executions that the agent holds and the server does not know: of another
//! database, or of this one before it was restored from a backup. They run on
//! until somebody says what shall become of them.

use crate::api::worker::Orphan;
use crate::domain::ExecutionId;

use super::effect::{Effect, Standing};
use super::execution::{Execution, Known, Order, StopReason};
use super::state::{AgentState, Link, Turn};

/// Characters of a command that are shown.
const SHOWN_COMMAND: usize = 200;

impl AgentState {
    /// What the agent says of itself.
    pub(super) fn standing(&self) -> Standing {
        let orphans = self.executions.values().filter(|held| self.is_orphan(held));
        Standing {
            draining: self.draining,
            lease_seconds: self.lease.lost_after_seconds(),
            orphans: orphans.map(|held| self.described(held)).collect(),
        }
    }

    /// Orphans become this server's: the agent introduces itself again, with
    /// them, and tells all of them anew.
    pub(super) fn on_adopt(&mut self, turn: &mut Turn, link: u64, executions: &[ExecutionId]) {
        let Some(store) = self.store.clone() else { return };
        let mut has_any = false;
        for id in executions {
            let Some(held) = self.executions.get(id).filter(|held| self.is_orphan(held)) else {
                continue;
            };
            let order = Order { store: store.clone(), ..(*held.order).clone() };
            self.replace_order(turn, *id, order);
            if let Some(held) = self.executions.get_mut(id) {
                held.known = Known::Nothing;
                held.orphaned = false;
            }
            has_any = true;
        }
        if has_any {
            self.drop_link(turn);
            turn.wants(Effect::Redial { link });
        }
    }

    /// Ends orphans and forgets them. Nothing is told.
    pub(super) fn on_abandon(&mut self, turn: &mut Turn, executions: &[ExecutionId]) {
        for id in executions {
            if self.executions.get(id).is_some_and(|held| self.is_orphan(held)) {
                self.on_superseded(turn, *id);
            }
        }
        // They are gone from the list that the server shows at once.
        self.on_heartbeat_due(turn);
    }

    pub(super) fn has_orphans(&self) -> bool {
        matches!(self.link, Link::Up { .. })
            && self.executions.values().any(|held| self.is_orphan(held))
    }

    fn is_orphan(&self, held: &Execution) -> bool {
        let is_other = Some(&held.order.store) != self.store.as_ref();
        (held.orphaned || is_other) && held.stop != Some(StopReason::Superseded)
    }

    fn described(&self, held: &Execution) -> Orphan {
        let own = self.store.as_ref().map(|(store, _)| store);
        let command = held.order.spec.command.to_string();
        Orphan {
            execution: held.id(),
            task: held.order.task,
            own_store: own == Some(&held.order.store.0),
            phase: held.phase(),
            started_at: held.started_at,
            ended: held.has_ended(),
            command: command.chars().take(SHOWN_COMMAND).collect(),
        }
    }
}
