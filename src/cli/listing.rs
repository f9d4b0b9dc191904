//! Lists of any length, as a table or as JSON, printed page by page.

use serde::Serialize;

use super::error::CliError;
use super::output::Output;
use super::table::{Cell, Column, Fit, Header, Table};

/// The form in which a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    Table {
        header: Header,
        fit: Fit,
    },
    /// One array.
    JsonArray,
    /// One object a line.
    JsonLines,
}

/// Makes the cells of an item.
type Row<'a, T> = Box<dyn Fn(&T) -> Vec<Cell> + 'a>;

/// A list that is being printed.
pub struct Listing<'a, T> {
    output: &'a Output,
    form: ListForm,
    table: Table<'a>,
    row: Row<'a, T>,
    count: usize,
}

impl<T> std::fmt::Debug for Listing<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").field("form", &self.form).finish_non_exhaustive()
    }
}

impl<'a, T: Serialize> Listing<'a, T> {
    /// A list with these columns in a table, and this row for an item.
    pub fn new(
        output: &'a Output,
        form: ListForm,
        columns: Vec<Column>,
        row: impl Fn(&T) -> Vec<Cell> + 'a,
    ) -> Self {
        let (header, fit) = match form {
            ListForm::Table { header, fit } => (header, fit),
            ListForm::JsonArray | ListForm::JsonLines => (Header::Hidden, Fit::Whole),
        };
        let table = Table::new(output, columns, header, fit);
        Self { output, form, table, row: Box::new(row), count: 0 }
    }

    /// Prints some items and hands them over, since the next may take a while.
    pub fn page(&mut self, items: &[T]) -> Result<(), CliError> {
        match self.form {
            ListForm::Table { .. } => {
                let rows: Vec<Vec<Cell>> = items.iter().map(|item| (self.row)(item)).collect();
                self.table.print(&rows)?;
            }
            ListForm::JsonArray => {
                for (position, item) in items.iter().enumerate() {
                    let is_first = self.count + position == 0;
                    self.output.bytes(if is_first { b"[\n" } else { b",\n" })?;
                    self.output.json_item(item)?;
                }
            }
            ListForm::JsonLines => {
                for item in items {
                    self.output.json_line(item)?;
                }
            }
        }
        self.count += items.len();
        self.output.flush()
    }

    /// Ends the list.
    pub fn finish(self) -> Result<(), CliError> {
        if self.form == ListForm::JsonArray {
            self.output.line(if self.count == 0 { "[]" } else { "\n]" })?;
        }
        self.output.flush()
    }
}
