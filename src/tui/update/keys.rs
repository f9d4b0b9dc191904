//! Keys: what lies on top gets them, else the table decides.

use crossterm::event::{KeyEvent, KeyModifiers};

use super::{available, commands, popups};
use crate::tui::effect::Effect;
use crate::tui::keymap::Key;
use crate::tui::state::{Access, State, ToastKind};

pub(super) fn on_key(state: &mut State, key: Key, event: KeyEvent, effects: &mut Vec<Effect>) {
    let is_interrupt = event.modifiers.contains(KeyModifiers::CONTROL);
    if is_interrupt && event.code == crossterm::event::KeyCode::Char('z') {
        effects.push(Effect::Suspend);
        return;
    }
    if state.popup.is_some() {
        popups::on_key(state, event, effects);
        return;
    }
    let Some(command) = state.keymap.find(state.scopes(), key) else { return };
    if available::is_available(command, state) {
        commands::run(state, command, effects);
    } else {
        let name: &'static str = command.into();
        let reason = if state.access == Access::ReadOnly {
            format!("{name}: this is a read-only view")
        } else {
            format!("{name} does not apply here")
        };
        state.toasts.tell(ToastKind::Note, reason, state.now);
    }
}
