//! Keys: what lies on top gets them, else the table decides.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{available, commands, popups};
use crate::tui::effect::Effect;
use crate::tui::keymap::Key;
use crate::tui::state::{Access, Popup, State, ToastKind};

/// Esc and a key that come together, as they do over a slow line, look like the
/// key with Alt. The key of the two, where it cannot have been meant with Alt.
fn after_escape(state: &State, key: Key, event: KeyEvent) -> Option<KeyEvent> {
    let is_alt = event.modifiers.contains(KeyModifiers::ALT);
    let has_own_meaning = match &state.popup {
        Some(popup) => matches!(popup, Popup::Editor(_)),
        None => state.keymap.find(state.scopes(), key).is_some(),
    };
    let plain = KeyEvent { modifiers: event.modifiers - KeyModifiers::ALT, ..event };
    (is_alt && !has_own_meaning).then_some(plain)
}

pub(super) fn on_key(state: &mut State, key: Key, event: KeyEvent, effects: &mut Vec<Effect>) {
    let is_interrupt = event.modifiers.contains(KeyModifiers::CONTROL);
    if is_interrupt && event.code == crossterm::event::KeyCode::Char('z') {
        effects.push(Effect::Suspend);
        return;
    }
    if let Some(after) = after_escape(state, key, event) {
        let escape = KeyEvent::from(KeyCode::Esc);
        on_key(state, Key::of(escape), escape, effects);
        on_key(state, Key::of(after), after, effects);
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
