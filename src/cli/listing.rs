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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::{number, text};
    use crate::cli::testing::Kept;

    const TABLE: ListForm = ListForm::Table { header: Header::Shown, fit: Fit::Terminal };

    /// What two pages look like.
    fn printed(form: ListForm, pages: &[&[(u32, &str)]]) -> String {
        let kept = Kept::default();
        let output = Output::into_sink(kept.clone());
        let columns = vec![number("ID"), text("NAME")];
        let mut listing = Listing::new(&output, form, columns, |(id, name): &(u32, &str)| {
            vec![(*id).into(), (*name).into()]
        });
        for page in pages {
            listing.page(page).unwrap();
        }
        listing.finish().unwrap();
        kept.text()
    }

    #[test]
    fn a_table_is_as_wide_as_its_first_page_needs_and_cuts_nothing() {
        let long = "a name that is longer than any before it";
        insta::assert_snapshot!(printed(TABLE, &[&[(7, "a\nb"), (12, "c")], &[(100, long)]]), @r"
        ID  NAME
         7  a\nb
        12  c
        100  a name that is longer than any before it
        ");
        assert_eq!(printed(TABLE, &[&[]]), "ID  NAME\n");
    }

    #[test]
    fn json_is_one_array_over_all_pages() {
        let printed_array = printed(ListForm::JsonArray, &[&[(1, "a"), (2, "b")], &[(3, "c")]]);
        assert_eq!(printed_array, "[\n[1,\"a\"],\n[2,\"b\"],\n[3,\"c\"]\n]\n");
        assert_eq!(printed(ListForm::JsonArray, &[&[]]), "[]\n");
        assert_eq!(printed(ListForm::JsonLines, &[&[(1, "a")], &[]]), "[1,\"a\"]\n");
    }
}
