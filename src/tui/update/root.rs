//! The one door to the state.

use super::{events, fetch, keys, mouse, popups, replies};
use crate::domain::time::Now;
use crate::tui::effect::{Action, Effect};
use crate::tui::state::State;

/// Changes the state by what happened, and tells what is to be done.
#[must_use]
pub fn update(state: &mut State, now: Now, action: Action) -> Vec<Effect> {
    state.now = now;
    let mut effects = Vec::new();
    match action {
        Action::Key(key, event) => keys::on_key(state, key, event, &mut effects),
        Action::Mouse(event) => mouse::on_mouse(state, event, &mut effects),
        Action::Paste(text) => popups::on_paste(state, &text),
        Action::Resize(width, height) => on_resize(state, width, height),
        Action::Tick => {}
        Action::Stream(news) => events::on_stream(state, news),
        Action::Reply(reply) => replies::on_reply(state, *reply, &mut effects),
    }
    events::plan(state, &mut effects);
    fetch::plan(state, &mut effects);
    effects
}

fn on_resize(state: &mut State, width: u16, height: u16) {
    state.size = (width, height);
    let height = state.list_height();
    state.tasks.settle(height);
    let row = state.workers.list.cursor.row;
    state.workers.list.move_to(row, height);
    let row = state.batches.list.cursor.row;
    state.batches.list.move_to(row, height);
    super::log::settle(state);
}
