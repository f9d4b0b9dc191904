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
    pub title: &'static str,
    pub kind: ColumnKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
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
    widths: Option<Vec<usize>>,
}

/// Space between two columns.
const GAP: usize = 2;

/// An elastic column is never made narrower.
const ELASTIC_MINIMUM: usize = 8;

pub const fn text(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Text }
}

pub const fn number(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Number }
}

pub const fn elastic(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Elastic }
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
    fn begin(&self, rows: &[Vec<Cell>]) -> Result<Vec<usize>, CliError> {
        let widths = self.fitted(rows);
        if self.header == Header::Shown {
            let title = |column: &Column| Cell::painted(column.title, Paint::Strong);
            let titles: Vec<Cell> = self.columns.iter().map(title).collect();
            self.output.line(self.row(&titles, &widths))?;
        }
        Ok(widths)
    }

    /// The widths that these rows need, made to fit.
    fn fitted(&self, rows: &[Vec<Cell>]) -> Vec<usize> {
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
        if let Some(available) = self.width {
            shrink(&mut widths, &self.columns, available);
        }
        widths
    }

    fn row(&self, cells: &[Cell], widths: &[usize]) -> String {
        let mut line = String::new();
        for (position, (cell, column)) in cells.iter().zip(&self.columns).enumerate() {
            let width = widths[position];
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

/// Takes width from the widest elastic column until the line fits or none
/// can give more.
fn shrink(widths: &mut [usize], columns: &[Column], available: usize) {
    let gaps = GAP * columns.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(available);
    while excess > 0 {
        let elastic = widths.iter_mut().zip(columns).filter(|(width, column)| {
            column.kind == ColumnKind::Elastic && **width > ELASTIC_MINIMUM
        });
        let Some((widest, _)) = elastic.max_by_key(|(width, _)| **width) else { return };
        *widest -= 1;
        excess -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elastic_columns_give_way_and_the_others_do_not() {
        let columns = [number("ID"), elastic("NAME"), elastic("COMMAND")];
        let mut widths = vec![10, 20, 100];
        shrink(&mut widths, &columns, 60);
        assert_eq!(widths, [10, 20, 26]);
        shrink(&mut widths, &columns, 20);
        assert_eq!(widths, [10, 8, 8]);
    }
}
