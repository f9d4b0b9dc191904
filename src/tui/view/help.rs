//! All keys that count here, from the table that also decides what they do.

use super::canvas::Canvas;
use super::keybar::key_names;
use crate::tui::keymap::Scope;
use crate::tui::state::{LineEdit, State};
use crate::tui::text::{pad, width};
use crate::tui::theme::Tone;

/// Lines of the help: keys and what they do; a heading has no keys.
#[must_use]
pub fn lines(state: &State, filter: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let wanted = filter.to_lowercase();
    for scope in state.scopes() {
        let word: &'static str = scope.into();
        let heading = match scope {
            Scope::Everywhere => "everywhere".to_owned(),
            Scope::Lists => "on all lists".to_owned(),
            _ => format!("here ({word})"),
        };
        let mut found = Vec::new();
        let scopes = [*scope];
        for (binding, keys) in state.keymap.bindings(&scopes) {
            let name: &'static str = binding.command.into();
            let text = format!("{}  [{name}]", binding.help);
            let keys = key_names(keys);
            let fits = wanted.is_empty()
                || text.to_lowercase().contains(&wanted)
                || keys.to_lowercase().split(' ').any(|key| key == wanted);
            if fits {
                found.push((keys, text));
            }
        }
        if !found.is_empty() {
            lines.push((String::new(), heading));
            lines.append(&mut found);
        }
    }
    lines
}

pub fn draw(canvas: &mut Canvas<'_>, state: &State, filter: &LineEdit, offset: usize) {
    let (wide, high) = (canvas.width(), canvas.height());
    let mut inside = canvas.boxed(wide.min(90), high, "Keys (type to narrow them down)");
    let x = inside.text(0, 0, "/", ratatui::style::Style::new());
    super::popup::draw_line(&mut inside, x, 0, filter);
    let (key, title) = (inside.tone(Tone::Key), inside.tone(Tone::Title));
    let room = inside.height().saturating_sub(1);
    for (line, (keys, text)) in
        lines(state, filter.text()).iter().skip(offset).take(room).enumerate()
    {
        let y = line + 1;
        if keys.is_empty() {
            inside.text(0, y, text, title);
        } else {
            let x = inside.text(1, y, &pad(keys, 15), key);
            // The name of the action is for the configuration: it goes first
            // where there is no room.
            let room = inside.width().saturating_sub(x + 1);
            let shown = match text.rsplit_once("  [") {
                Some((plain, _)) if width(text) > room => plain,
                _ => text,
            };
            inside.text(x + 1, y, shown, ratatui::style::Style::new());
        }
    }
}
