//! Colours and glyphs. A colour never stands alone: each state has a glyph and
//! a word as well.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;

/// What the colours are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeName {
    /// A dark background.
    #[default]
    Dark,
    /// A light background.
    Light,
    /// No colours at all: bold, dim and reversed letters only.
    Mono,
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    #[default]
    Colors256,
    Colors16,
}

/// Which letters the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Letters {
    #[default]
    Unicode,
    Ascii,
}

/// How everything looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    pub name: ThemeName,
    pub depth: Depth,
    pub letters: Letters,
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Faint,
    Strong,
    Title,
    Good,
    Warning,
    Bad,
    Accent,
    Key,
}

impl Theme {
    #[must_use]
    pub fn task(self, state: TaskState) -> Style {
        let (dark, light, basic) = match state {
            TaskState::Waiting => (248, 242, Color::DarkGray),
            TaskState::Pending => (189, 60, Color::Gray),
            TaskState::Assigned => (105, 61, Color::Cyan),
            TaskState::Accepted => (63, 55, Color::LightCyan),
            TaskState::Running => (33, 26, Color::LightBlue),
            TaskState::Paused => (220, 136, Color::Yellow),
            TaskState::Failed => (196, 160, Color::LightRed),
            TaskState::Succeeded => (34, 28, Color::Green),
        };
        let style = self.color(dark, light, basic);
        match state {
            TaskState::Running | TaskState::Failed => style.add_modifier(Modifier::BOLD),
            _ => style,
        }
    }

    #[must_use]
    pub fn worker(self, state: WorkerState) -> Style {
        match state {
            WorkerState::Running => self.task(TaskState::Running),
            WorkerState::Paused => self.task(TaskState::Paused),
            WorkerState::Draining => self.task(TaskState::Assigned),
            WorkerState::Offline => self.task(TaskState::Waiting),
            WorkerState::Failed => self.task(TaskState::Failed),
            WorkerState::Evicted => self.color(201, 127, Color::Magenta),
        }
    }

    #[must_use]
    pub fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Faint => self.color(245, 243, Color::DarkGray).add_modifier(Modifier::DIM),
            Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
            Tone::Title => self.color(117, 25, Color::LightCyan).add_modifier(Modifier::BOLD),
            Tone::Good => self.task(TaskState::Succeeded),
            Tone::Warning => self.task(TaskState::Paused),
            Tone::Bad => self.task(TaskState::Failed),
            Tone::Accent => self.color(117, 25, Color::LightCyan),
            Tone::Key => self.color(215, 130, Color::Yellow).add_modifier(Modifier::BOLD),
        }
    }

    /// The line under the cursor.
    #[must_use]
    pub const fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn color(self, dark: u8, light: u8, basic: Color) -> Style {
        match (self.name, self.depth) {
            (ThemeName::Mono, _) => Style::new(),
            (_, Depth::Colors16) => Style::new().fg(basic),
            (ThemeName::Dark, Depth::Colors256) => Style::new().fg(Color::Indexed(dark)),
            (ThemeName::Light, Depth::Colors256) => Style::new().fg(Color::Indexed(light)),
        }
    }

    /// Takes out of a finished frame what the terminal cannot show.
    pub fn reduce(self, buffer: &mut Buffer) {
        if self.name == ThemeName::Mono {
            for cell in &mut buffer.content {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
        }
        if self.letters == Letters::Ascii {
            for cell in &mut buffer.content {
                if !cell.symbol().is_ascii() {
                    let plain = cell.symbol().chars().next().map_or(' ', ascii_for);
                    cell.set_char(plain);
                }
            }
        }
    }
}

/// The sign of a task's state.
#[must_use]
pub const fn task_glyph(state: TaskState) -> &'static str {
    match state {
        TaskState::Waiting => "◌",
        TaskState::Pending => "○",
        TaskState::Assigned => "◔",
        TaskState::Accepted => "◑",
        TaskState::Running => "●",
        TaskState::Paused => "‖",
        TaskState::Failed => "✗",
        TaskState::Succeeded => "✓",
    }
}

/// The sign of a worker's state.
#[must_use]
pub const fn worker_glyph(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Running => "●",
        WorkerState::Paused => "‖",
        WorkerState::Draining => "◔",
        WorkerState::Offline => "○",
        WorkerState::Failed => "✗",
        WorkerState::Evicted => "◌",
    }
}

#[expect(clippy::match_same_arms, reason = "a table: each line is one kind of letter")]
const fn ascii_for(c: char) -> char {
    match c {
        '◌' => '.',
        '○' => 'o',
        '◔' => ':',
        '◑' => '%',
        '●' => '*',
        '‖' | '║' => '=',
        '✗' => 'x',
        '✓' => 'v',
        '│' | '┃' | '┆' => '|',
        '─' | '━' | '═' | '–' | '—' => '-',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╰' | '╯' => {
            '+'
        }
        '…' => '~',
        '▸' | '›' | '→' | '▶' => '>',
        '‹' | '←' => '<',
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '▁' | '▂' => '_',
        '▃' | '▄' | '░' => '-',
        '▅' | '▆' | '▒' => '=',
        '▇' | '█' | '▓' => '#',
        '·' => '.',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn each_state_has_a_sign_of_its_own_in_ascii_as_well() {
        let signs: std::collections::BTreeSet<char> = TaskState::iter()
            .map(|state| ascii_for(task_glyph(state).chars().next().unwrap()))
            .collect();
        assert_eq!(signs.len(), TaskState::iter().count());
        assert!(!signs.contains(&'?'));
    }

    #[test]
    fn a_plain_terminal_gets_neither_colours_nor_letters_that_it_lacks() {
        let theme = Theme { name: ThemeName::Mono, letters: Letters::Ascii, ..Theme::default() };
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        buffer.set_string(0, 0, "│✓日é", Style::new().fg(Color::Red));
        theme.reduce(&mut buffer);
        let text: String = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(text.starts_with("|v? ?"), "{text}");
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset));
    }
}
