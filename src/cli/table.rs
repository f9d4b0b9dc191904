//! Tables that arrive page by page: columns are as wide as the first page
//! needs, so that a list of any length takes constant memory.
//!
//! On a terminal the elastic columns give way until a line fits; in a pipe
//! nothing is ever cut.

use dialoguer::console::{measure_text_width, truncate_str};

use super::error::CliError;
use super::output::{Output, Paint, terminal_width};

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    kind: ColumnKind,
    presence: Presence,
}

/// What becomes of a column on a terminal that is too narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Always,
    /// Left out, the rightmost first.
    WhereItFits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    Text,
    /// Right-aligned.
    Number,
    /// Gives way on a narrow terminal.
    Elastic,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    paint: Paint,
}

/// Whether the titles are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    Shown,
    Hidden,
}

/// Whether lines are made to fit the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Terminal,
    /// Nothing is cut.
    Whole,
}

/// A table on standard output.
#[derive(Debug)]
pub struct Table<'a> {
    output: &'a Output,
    columns: Vec<Column>,
    header: Header,
    width: Option<usize>,
    /// Widths of the columns; none for one that is left out.
    widths: Option<Vec<Option<usize>>>,
}

/// Space between two columns.
const GAP: usize = 2;

/// An elastic column is never made narrower.
const ELASTIC_MINIMUM: usize = 8;

pub const fn text(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Text, presence: Presence::Always }
}

pub const fn number(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Number, presence: Presence::Always }
}

pub const fn elastic(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Elastic, presence: Presence::Always }
}

/// The same column, left out where the terminal is too narrow.
pub const fn optional(column: Column) -> Column {
    Column { presence: Presence::WhereItFits, ..column }
}

impl Column {
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// The same column, shown however narrow the terminal is.
    #[must_use]
    pub const fn always(self) -> Self {
        Self { presence: Presence::Always, ..self }
    }
}

impl Cell {
    #[must_use]
    pub fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        let text = value.to_string();
        Self { text: super::format::visible(&text).into_owned(), paint: Paint::Plain }
    }
}

impl<'a> Table<'a> {
    #[must_use]
    pub fn new(output: &'a Output, columns: Vec<Column>, header: Header, fit: Fit) -> Self {
        let width = match fit {
            Fit::Terminal => terminal_width(),
            Fit::Whole => None,
        };
        Self { output, columns, header, width, widths: None }
    }

    /// Prints some rows; the first call prints the titles too, also above no row.
    pub fn print(&mut self, rows: &[Vec<Cell>]) -> Result<(), CliError> {
        let widths = if let Some(widths) = self.widths.take() { widths } else { self.begin(rows)? };
        for row in rows {
            self.output.line(self.row(row, &widths))?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    /// Decides the widths and prints the titles.
    fn begin(&self, rows: &[Vec<Cell>]) -> Result<Vec<Option<usize>>, CliError> {
        let mut widths: Vec<Option<usize>> = self.needed(rows).into_iter().map(Some).collect();
        if let Some(available) = self.width {
            fit(&mut widths, &self.columns, available);
        }
        if self.header == Header::Shown {
            let title = |column: &Column| Cell::painted(column.title, Paint::Strong);
            let titles: Vec<Cell> = self.columns.iter().map(title).collect();
            self.output.line(self.row(&titles, &widths))?;
        }
        Ok(widths)
    }

    /// The widths that these rows need.
    fn needed(&self, rows: &[Vec<Cell>]) -> Vec<usize> {
        let title_width = |column: &Column| match self.header {
            Header::Shown => column.title.len(),
            Header::Hidden => 0,
        };
        let mut widths: Vec<usize> = self.columns.iter().map(title_width).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(&cell.text));
            }
        }
        widths
    }

    fn row(&self, cells: &[Cell], widths: &[Option<usize>]) -> String {
        let mut line = String::new();
        for ((cell, column), width) in cells.iter().zip(&self.columns).zip(widths) {
            let Some(width) = *width else { continue };
            let is_cut = self.width.is_some() && column.kind == ColumnKind::Elastic;
            let shown =
                if is_cut { truncate_str(&cell.text, width, "…") } else { (&cell.text).into() };
            let padding = " ".repeat(width.saturating_sub(measure_text_width(&shown)));
            let painted = self.output.paint(&shown, cell.paint).to_string();
            if column.kind == ColumnKind::Number {
                line.push_str(&padding);
                line.push_str(&painted);
            } else {
                line.push_str(&painted);
                line.push_str(&padding);
            }
            line.push_str(&" ".repeat(GAP));
        }
        line.truncate(line.trim_end_matches(' ').len());
        line
    }
}

/// Makes a line fit: elastic columns give way, then optional columns go, the
/// rightmost first. On a terminal narrower than all that, the line wraps.
fn fit(widths: &mut [Option<usize>], columns: &[Column], available: usize) {
    loop {
        let (shrunk, excess) = shrink(widths, columns, available);
        let optional = |position: &usize| {
            columns[*position].presence == Presence::WhereItFits && widths[*position].is_some()
        };
        match (0..columns.len()).rev().find(optional) {
            Some(last) if excess > 0 => widths[last] = None,
            _ => return widths.copy_from_slice(&shrunk),
        }
    }
}

/// Takes width from the widest elastic column until the line fits or none can
/// give more. Says by how much it is still too wide.
fn shrink(
    widths: &[Option<usize>],
    columns: &[Column],
    available: usize,
) -> (Vec<Option<usize>>, usize) {
    let mut shrunk = widths.to_vec();
    let gaps = GAP * shrunk.iter().flatten().count().saturating_sub(1);
    let mut excess = (shrunk.iter().flatten().sum::<usize>() + gaps).saturating_sub(available);
    while excess > 0 {
        let elastic = shrunk.iter_mut().zip(columns).filter_map(|(width, column)| {
            let width = width.as_mut()?;
            (column.kind == ColumnKind::Elastic && *width > ELASTIC_MINIMUM).then_some(width)
        });
        let Some(widest) = elastic.max_by_key(|width| **width) else { break };
        *widest -= 1;
        excess -= 1;
    }
    (shrunk, excess)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elastic_columns_give_way_then_optional_ones_go() {
        let columns = [number("ID"), elastic("NAME"), optional(text("END")), elastic("COMMAND")];
        let needed = vec![Some(10), Some(20), Some(10), Some(100)];
        let fitted = |available| {
            let mut widths = needed.clone();
            fit(&mut widths, &columns, available);
            widths
        };
        assert_eq!(fitted(200), needed);
        assert_eq!(fitted(80), [Some(10), Some(20), Some(10), Some(34)]);
        assert_eq!(fitted(60), [Some(10), Some(17), Some(10), Some(17)]);
        assert_eq!(fitted(40), [Some(10), Some(13), None, Some(13)]);
        assert_eq!(fitted(20), [Some(10), Some(8), None, Some(8)]);
    }
}
