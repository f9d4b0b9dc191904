//! Who gets the free slots, and how many are taken.

use std::cmp::Reverse;

use crate::domain::demand::Demand;
use crate::domain::execution::FailureClass;
use crate::domain::worker::WorkerSettings;
use crate::domain::{ExecutionId, TaskId};

use super::effect::Effect;
use super::execution::{Execution, Order, Stage};
use super::state::{AgentState, Turn};

/// The place in the queue for slots: a higher priority first, among equals the
/// older task.
pub type Place = (Reverse<i32>, TaskId, ExecutionId);

impl AgentState {
    /// Gives free slots to the executions that wait for them, strictly in the
    /// order of their places: one that needs more than is free is not overtaken
    /// by smaller ones, or it would wait for ever.
    pub(super) fn start_ready(&mut self, turn: &mut Turn) {
        if self.startable.is_empty()
            || !self.supervisor_is_up
            || !self.lease.holds(turn.now.monotonic)
        {
            return;
        }
        while let Some((_, _, id)) = self.startable.first().copied() {
            let Some(order) = self.executions.get(&id).map(|held| held.order.clone()) else {
                self.startable.pop_first();
                continue;
            };
            if self.take_over(turn, id) {
                continue;
            }
            let demand = Demand::of(&order.spec);
            let Some(slots) = demand.slots_on(&self.machine, self.settings.concurrency) else {
                let reason = "it asks for more than this machine has";
                self.finish_without_run(turn, id, FailureClass::Refused, reason);
                continue;
            };
            if self.occupied.saturating_add(slots) > self.settings.concurrency {
                return;
            }
            self.set_stage(id, Stage::Starting);
            turn.wants(Effect::Spawn(order));
        }
    }

    /// Takes over the settings. What an execution takes of the slots depends on
    /// their number.
    pub(super) fn apply_settings(&mut self, settings: WorkerSettings) {
        let recounts = settings.concurrency != self.settings.concurrency;
        self.settings = settings;
        if recounts {
            let holders = self.executions.values().filter(|held| held.holds_slot());
            self.occupied = holders.map(|held| self.slots_of(&held.order)).sum();
        }
    }

    pub(super) fn refresh_startable(&mut self, id: ExecutionId) {
        let Some(held) = self.executions.get(&id) else { return };
        let place = place(held);
        if held.is_startable() {
            self.startable.insert(place);
        } else {
            self.startable.remove(&place);
        }
    }

    /// The slots that an order takes while its command runs.
    pub(super) fn slots_of(&self, order: &Order) -> u32 {
        // What is too big by now, since the machine shrank, has all of it.
        Demand::of(&order.spec)
            .slots_on(&self.machine, self.settings.concurrency)
            .unwrap_or(self.settings.concurrency)
    }
}

pub(super) fn place(held: &Execution) -> Place {
    (Reverse(held.order.spec.priority.unwrap_or(0)), held.order.task, held.id())
}
