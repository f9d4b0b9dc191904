//! Edits of tasks that the agent has.

use std::sync::Arc;

use crate::api::link::Edit;
use crate::domain::ExecutionId;
use crate::domain::execution::FailureClass;
use crate::domain::task::TaskSpec;

use super::effect::{Effect, Ground};
use super::execution::{Fetching, Order, Stage};
use super::record::Record;
use super::slots::place;
use super::state::{AgentState, Turn};

impl AgentState {
    /// Goes by the new specification if the command has not been started.
    pub(super) fn on_edit(&mut self, turn: &mut Turn, edit: &Edit) {
        let id = edit.execution;
        if !self.is_own(id) {
            return;
        }
        let Some(held) = self.executions.get(&id) else { return };
        // Whether a restored one runs is not known yet: it is named by its old
        // revision in the next hello, and the server sends the edit again.
        let is_open = matches!(held.stage, Stage::Downloading(_) | Stage::Ready)
            && held.stop.is_none()
            && edit.revision > held.order.revision;
        if !is_open {
            return;
        }
        let spec: TaskSpec = match serde_json::from_str(edit.spec.get()) {
            Ok(spec) => spec,
            Err(error) => {
                let reason = format!("this agent does not understand the edited task: {error}");
                turn.wants(Effect::StopTransfer(id));
                return self.finish_without_run(turn, id, FailureClass::Internal, reason);
            }
        };
        let needs_data = !has_same_ground(&held.order.spec, &spec);
        let fetching = match held.stage {
            Stage::Downloading(fetching) => Some(fetching),
            _ => None,
        };
        let order = Order { revision: edit.revision, spec, ..(*held.order).clone() };
        self.replace_order(turn, id, order);
        match fetching {
            None if needs_data => self.prepare(turn, id, Ground::Edited),
            None => {}
            Some(_) if needs_data => {
                self.set_stage(id, Stage::Downloading(Fetching::Former));
                self.set_download_deadline(turn, id);
                turn.wants(Effect::StopTransfer(id));
            }
            Some(_) => self.set_download_deadline(turn, id),
        }
    }

    /// Puts another order in the place of the one that was accepted.
    pub(super) fn replace_order(&mut self, turn: &mut Turn, id: ExecutionId, order: Order) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        let order = Arc::new(order);
        self.startable.remove(&place(held));
        held.order = order.clone();
        turn.wants(Effect::Journal(Record::Changed { order }));
        self.refresh_startable(id);
    }
}

/// Whether what was fetched for the one is what the other needs.
fn has_same_ground(old: &TaskSpec, new: &TaskSpec) -> bool {
    // The key of a task that takes outputs over stands for all of it.
    let is_keyed = old.use_cache || new.use_cache;
    !is_keyed
        && old.input == new.input
        && old.resource == new.resource
        && old.stdin == new.stdin
        && (old.uid, old.gid) == (new.uid, new.gid)
}
