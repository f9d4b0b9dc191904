//! A piece of the screen with a theme.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::tui::text;
use crate::tui::theme::{Theme, Tone};

#[derive(Debug)]
pub struct Canvas<'a> {
    pub buffer: &'a mut Buffer,
    pub area: Rect,
    pub theme: Theme,
}

/// Text in one style.
pub type Part = (String, Style);

impl Canvas<'_> {
    /// A part of this canvas; what lies outside is cut off.
    pub fn part(&mut self, x: usize, y: usize, width: usize, height: usize) -> Canvas<'_> {
        let wanted = Rect {
            x: self.area.x.saturating_add(cells(x)),
            y: self.area.y.saturating_add(cells(y)),
            width: cells(width),
            height: cells(height),
        };
        Canvas { area: wanted.intersection(self.area), buffer: self.buffer, theme: self.theme }
    }

    pub fn width(&self) -> usize {
        self.area.width.into()
    }

    pub fn height(&self) -> usize {
        self.area.height.into()
    }

    pub fn tone(&self, tone: Tone) -> Style {
        self.theme.tone(tone)
    }

    /// Writes a clean text and says where it ended.
    pub fn text(&mut self, x: usize, y: usize, content: &str, style: Style) -> usize {
        if x >= self.width() || y >= self.height() {
            return x;
        }
        let room = self.width() - x;
        let fitted = text::fit(content, room);
        self.buffer.set_stringn(
            self.area.x + cells(x),
            self.area.y + cells(y),
            &fitted,
            room,
            style,
        );
        x + text::width(&fitted)
    }

    /// Writes parts one behind the other.
    pub fn parts(&mut self, mut x: usize, y: usize, parts: &[Part]) -> usize {
        for (content, style) in parts {
            x = self.text(x, y, content, *style);
        }
        x
    }

    /// Writes a text that ends at the right edge.
    pub fn text_right(&mut self, y: usize, content: &str, style: Style) {
        let wide = text::width(content).min(self.width());
        self.text(self.width() - wide, y, content, style);
    }

    /// Adds a style to a whole line.
    pub fn style_line(&mut self, y: usize, style: Style) {
        if y < self.height() {
            let line = Rect { y: self.area.y + cells(y), height: 1, ..self.area };
            self.buffer.set_style(line, style);
        }
    }

    pub fn dim(&mut self) {
        self.buffer.set_style(self.area, Style::new().add_modifier(Modifier::DIM));
    }

    /// An empty box with a frame and a title; gives its inside.
    pub fn boxed(&mut self, width: usize, height: usize, title: &str) -> Canvas<'_> {
        let (width, height) = (width.min(self.width()), height.min(self.height()));
        let x = (self.width() - width) / 2;
        let y = (self.height() - height) / 2;
        let frame = self.tone(Tone::Accent);
        let strong = self.tone(Tone::Title);
        for row in 0..height {
            let inside = width.saturating_sub(2);
            let (left, fill, right) = match row {
                0 => ("╭", "─", "╮"),
                row if row + 1 == height => ("╰", "─", "╯"),
                _ => ("│", " ", "│"),
            };
            self.text(x, y + row, &format!("{left}{}{right}", fill.repeat(inside)), frame);
            let line = Rect {
                x: self.area.x + cells(x + 1),
                y: self.area.y + cells(y + row),
                width: cells(inside),
                height: 1,
            };
            if row > 0 && row + 1 < height {
                self.buffer.set_style(line, Style::reset());
            }
        }
        if width > 6 {
            let shown = format!(" {} ", text::fit(&text::clean(title), width - 6));
            self.text(x + 2, y, &shown, strong);
        }
        self.part(x + 2, y + 1, width.saturating_sub(4), height.saturating_sub(2))
    }
}

/// A number of cells; a screen has far fewer than 65,536.
pub fn cells(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
