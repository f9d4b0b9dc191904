//! Tables: which columns fit, how wide they are, and the rows.

use ratatui::style::Style;

use super::canvas::{Canvas, Part};
use crate::tui::text;
use crate::tui::theme::Tone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    pub side: Side,
    pub least: usize,
    pub most: usize,
    /// Stays when the others are scrolled to the side.
    pub is_fixed: bool,
    /// Takes the room that is left.
    pub grows: bool,
    /// Left out when no row has anything in it.
    pub is_optional: bool,
}

/// A cell: parts one behind the other.
pub type Cell = Vec<Part>;

#[derive(Debug, Clone)]
pub struct Row {
    pub cells: Vec<Cell>,
    pub is_cursor: bool,
    pub is_marked: bool,
}

/// A column that is on screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub column: usize,
    pub x: usize,
    pub width: usize,
}

/// The order of the rows, for the heading.
#[derive(Debug, Clone, Copy)]
pub struct Sorted {
    pub column: usize,
    pub is_reversed: bool,
}

/// Width of the mark in front of each row.
const MARK: usize = 1;

/// Columns between two columns.
const GAP: usize = 1;

impl Column {
    pub const fn left(title: &'static str, least: usize, most: usize) -> Self {
        Self {
            title,
            side: Side::Left,
            least,
            most,
            is_fixed: false,
            grows: false,
            is_optional: false,
        }
    }

    pub const fn right(title: &'static str, least: usize, most: usize) -> Self {
        Self { side: Side::Right, ..Self::left(title, least, most) }
    }

    pub const fn fixed(self) -> Self {
        Self { is_fixed: true, ..self }
    }

    pub const fn growing(self) -> Self {
        Self { grows: true, ..self }
    }

    pub const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }
}

/// Chooses the columns that fit and gives them their widths.
#[must_use]
pub fn place(columns: &[Column], rows: &[Row], shift: usize, width: usize) -> Vec<Placed> {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(number, column)| {
            let cells = rows.iter().filter_map(|row| row.cells.get(number));
            let widest = cells.map(|cell| cell_width(cell)).max().unwrap_or(0);
            if widest == 0 && column.is_optional {
                return 0;
            }
            widest.max(text::width(column.title) + 1).clamp(column.least, column.most)
        })
        .collect();
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    let mut used = MARK;
    let mut skipped = 0;
    for (number, column) in columns.iter().enumerate() {
        let wide = natural.get(number).copied().unwrap_or(0);
        if wide == 0 {
            continue;
        }
        if !column.is_fixed && skipped < shift {
            skipped += 1;
            continue;
        }
        let least = if column.grows { column.least } else { wide };
        if used + least > width && !chosen.is_empty() {
            // The order of the columns is that of their weight.
            break;
        }
        chosen.push((number, least));
        used += least + GAP;
    }
    let left = (width + GAP).saturating_sub(used);
    grow(columns, &natural, &mut chosen, left);
    let mut x = MARK;
    chosen
        .into_iter()
        .map(|(column, width)| {
            let placed = Placed { column, x, width };
            x += width + GAP;
            placed
        })
        .collect()
}

/// Shares the room that is left between growing columns, one cell after the
/// other; what none of them needs is the last one's.
fn grow(columns: &[Column], natural: &[usize], chosen: &mut [(usize, usize)], mut left: usize) {
    let is_growing = |number: usize| columns.get(number).is_some_and(|column| column.grows);
    let mut has_grown = true;
    while has_grown && left > 0 {
        has_grown = false;
        for (number, wide) in &mut *chosen {
            let wanted = natural.get(*number).copied().unwrap_or(0);
            if is_growing(*number) && *wide < wanted && left > 0 {
                *wide += 1;
                left -= 1;
                has_grown = true;
            }
        }
    }
    if let Some((_, wide)) = chosen.iter_mut().rfind(|(number, _)| is_growing(*number)) {
        *wide += left;
    }
}

/// Draws the heading in the first line and the rows below it.
pub fn draw(
    canvas: &mut Canvas<'_>,
    columns: &[Column],
    rows: &[Row],
    placed: &[Placed],
    sorted: Option<Sorted>,
) {
    let heading = canvas.tone(Tone::Strong);
    for place in placed {
        let Some(column) = columns.get(place.column) else { continue };
        let arrow = match sorted {
            Some(sorted) if sorted.column == place.column && sorted.is_reversed => "▼",
            Some(sorted) if sorted.column == place.column => "▲",
            _ => "",
        };
        let title = format!("{}{arrow}", column.title);
        let title = match column.side {
            Side::Left => text::pad(&title, place.width),
            Side::Right => text::pad_left(&title, place.width),
        };
        canvas.text(place.x, 0, &title, heading);
    }
    for (number, row) in rows.iter().enumerate() {
        let y = number + 1;
        if row.is_marked {
            let key = canvas.tone(Tone::Key);
            canvas.text(0, y, "▸", key);
        }
        for place in placed {
            let (Some(cell), Some(column)) =
                (row.cells.get(place.column), columns.get(place.column))
            else {
                continue;
            };
            let wide = cell_width(cell).min(place.width);
            let x = match column.side {
                Side::Left => 0,
                Side::Right => place.width - wide,
            };
            canvas.part(place.x, y, place.width, 1).parts(x, 0, cell);
        }
        if row.is_cursor {
            let cursor = canvas.theme.cursor();
            canvas.style_line(y, cursor);
        }
    }
}

/// A cell of one text.
#[must_use]
pub fn cell(content: impl Into<String>, style: Style) -> Cell {
    vec![(content.into(), style)]
}

/// A cell of a text without a style.
#[must_use]
pub fn plain(content: impl Into<String>) -> Cell {
    cell(content, Style::new())
}

fn cell_width(cell: &[Part]) -> usize {
    cell.iter().map(|(content, _)| text::width(content)).sum()
}
