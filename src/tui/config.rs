//! `tui.toml`: keys, theme, period. And what is remembered from one time to
//! the next.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::keymap::{Scope, TABLE};
use super::state::Screen;
use super::theme::ThemeName;
use crate::api::task::TaskSort;

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub theme: ThemeName,
    /// Seconds between two looks at what no event tells: figures of machines,
    /// and everything while events do not come.
    pub period: u32,
    /// Whether clicks and the wheel are taken. Without, the terminal selects text.
    pub mouse: bool,
    /// Action → keys, separated by spaces.
    pub keys: BTreeMap<String, String>,
}

/// What is kept from one time to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub screen: Screen,
    pub filter: String,
    pub sort: TaskSort,
    pub is_reversed: bool,
    pub recruit: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { theme: ThemeName::Dark, period: 2, mouse: true, keys: BTreeMap::new() }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            screen: Screen::Workers,
            filter: String::new(),
            sort: TaskSort::Id,
            is_reversed: true,
            recruit: Vec::new(),
        }
    }
}

/// The default configuration as a file, with its meaning.
#[must_use]
pub fn default_text() -> String {
    let mut text = "\
# The terminal UI of scitq. Each line here has its default.

# dark, light or mono. NO_COLOR in the environment is the same as mono.
theme = \"dark\"

# Seconds between two looks at what no event tells: figures of machines, and
# everything while the server's events do not come.
period = 2

# Take clicks and the wheel. With false the terminal selects text as usual.
mouse = true

# Keys of actions: single letters, or enter esc tab backtab space del backspace
# up down left right pageup pagedown home end f1 to f12, with ctrl- or alt- in
# front; several with spaces between. No key may stand for two actions in one
# place. Take away the # to change one.
[keys]
"
    .to_owned();
    let mut told = std::collections::BTreeSet::new();
    for binding in TABLE {
        let name: &'static str = binding.command.into();
        if !told.insert(name) {
            continue;
        }
        let places: Vec<&'static str> = binding
            .scopes
            .iter()
            .filter(|scope| **scope != Scope::Everywhere)
            .map(Into::into)
            .collect();
        let place =
            if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) };
        let _ = writeln!(text, "# {name} = {:?}  # {}{place}", binding.keys, binding.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_configuration_is_the_default_one() {
        let text = default_text();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
        let all: String = text
            .lines()
            .map(|line| if line.contains(" = \"") { line.trim_start_matches("# ") } else { line })
            .fold(String::new(), |text, line| text + line + "\n");
        let config: Config = toml::from_str(&all).unwrap();
        assert!(config.keys.len() > 60);
    }
}
