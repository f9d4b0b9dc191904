//! The last line: keys that are valid here and now.

use super::canvas::Canvas;
use crate::tui::keymap::{Command, Key};
use crate::tui::state::{Popup, State};
use crate::tui::text::width;
use crate::tui::theme::Tone;
use crate::tui::update::is_available;

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let mut x = 1;
    let last = canvas.width();
    let hints: Vec<(String, String)> = match &state.popup {
        Some(popup) => {
            popup_keys(popup).iter().map(|(k, l)| ((*k).to_owned(), (*l).to_owned())).collect()
        }
        None => here(state),
    };
    let (key, plain) = (canvas.tone(Tone::Key), canvas.tone(Tone::Faint));
    for (name, label) in hints {
        let wide = width(&name) + 1 + width(&label);
        if x + wide > last {
            continue;
        }
        x = canvas.text(x, 0, &name, key);
        x = canvas.text(x + 1, 0, &label, plain) + 2;
    }
}

/// Keys of the screen; the help is always among the first, so that it is never
/// left out.
fn here(state: &State) -> Vec<(String, String)> {
    let mut hints = Vec::new();
    for (binding, keys) in state.keymap.bindings(state.scopes()) {
        if binding.label.is_empty() || !is_available(binding.command, state) {
            continue;
        }
        let Some(key) = keys.first() else { continue };
        let hint = (key.to_string(), binding.label.to_owned());
        if binding.command == Command::Help {
            hints.insert(0, hint);
        } else {
            hints.push(hint);
        }
    }
    hints
}

const fn popup_keys(popup: &Popup) -> &'static [(&'static str, &'static str)] {
    match popup {
        Popup::Question(question) => match question.word {
            None => &[("y", "yes"), ("n", "no"), ("esc", "no")],
            Some(_) => &[("enter", "do it, if the word is right"), ("esc", "no")],
        },
        Popup::Prompt(_) => &[("enter", "take it"), ("tab", "complete"), ("esc", "leave")],
        Popup::Menu(_) => &[("enter", "choose"), ("↑↓", "move"), ("esc", "leave")],
        Popup::Help { .. } | Popup::History { .. } | Popup::Charts { .. } | Popup::JobLog(_) => {
            &[("esc", "close"), ("↑↓", "scroll")]
        }
        Popup::Editor(_) => &[
            ("ctrl-s", "save and run"),
            ("ctrl-o", "save only"),
            ("ctrl-u", "undo"),
            ("esc", "leave"),
        ],
        Popup::Recruit(_) => {
            &[("enter", "recruit"), ("tab", "next field"), ("ctrl-n", "complete"), ("esc", "leave")]
        }
    }
}

/// Keys as the help names them.
#[must_use]
pub fn key_names(keys: &[Key]) -> String {
    let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
    names.join(" ")
}
