//! Places in text whose lines take several rows of the screen.

/// A line, and a row of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spot {
    pub line: usize,
    pub row: usize,
}

/// The place at which the last row of all is the last on a screen so high.
/// `rows` tells how many a line takes.
#[must_use]
pub fn last_spot(height: usize, lines: usize, rows: impl Fn(usize) -> usize) -> Spot {
    let mut left = height;
    for line in (0..lines).rev() {
        let rows = rows(line);
        if rows >= left {
            return Spot { line, row: rows - left };
        }
        left -= rows;
    }
    Spot::default()
}

/// The place so many rows further down, or up if negative, and never behind the
/// last one.
#[must_use]
pub fn moved_spot(
    from: Spot,
    step: i64,
    height: usize,
    lines: usize,
    rows: impl Fn(usize) -> usize,
) -> Spot {
    let Spot { mut line, mut row } = from;
    for _ in 0..step.unsigned_abs() {
        if step > 0 {
            if row + 1 < rows(line) {
                row += 1;
            } else if line + 1 < lines {
                line += 1;
                row = 0;
            }
        } else if row > 0 {
            row -= 1;
        } else if line > 0 {
            line -= 1;
            row = rows(line).saturating_sub(1);
        }
    }
    Spot { line, row }.min(last_spot(height, lines, rows))
}
