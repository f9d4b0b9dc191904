//! `--each`: one task for each line of standard input.
//!
//! [`records`] reads the lines, [`table`] splits them into columns, and
//! [`template`] puts them into the words of a task. A line becomes a part of a
//! word and never more than that: nothing splits or reads it again.

mod records;
mod table;
mod template;

use thiserror::Error;

use crate::cli::error::CliError;

pub use records::{Item, LineForm, Records, Separator, read_records};
pub use table::Delimiter;
pub use template::{Columns, Template};

/// Why lines do not become tasks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EachError {
    #[error("{place} of standard input has a NUL byte")]
    Nul { place: Place },
    #[error("{place} of standard input is not UTF-8: {shown}")]
    NotText { place: Place, shown: String },
    #[error("{place} of standard input has a quote that is not closed: {shown}")]
    OpenQuote { place: Place, shown: String },
    #[error("{place} of standard input has text behind a closing quote: {shown}")]
    TextBehindQuote { place: Place, shown: String },
    #[error(
        "{place} of standard input has {found} {}, and the header has {expected}",
        if *found == 1 { "column" } else { "columns" }
    )]
    ColumnCount { place: Place, found: usize, expected: usize },
    #[error("there is no column {column} in {shown}")]
    NoColumn { column: usize, shown: String },
    #[error("the header names the column `{name}` twice")]
    NamesakeColumns { name: String },
    #[error("the header names no column {position}")]
    NamelessColumn { position: usize },
    #[error("`{{{name}}}` is no placeholder: the header has no column of that name")]
    UnknownColumn { name: String, known: Vec<String> },
    #[error("`{{{name}}}` is no placeholder: the header has {count} columns")]
    ColumnNumber { name: String, count: usize },
    #[error("`{{0}}` is no placeholder: columns are counted from 1")]
    ColumnZero,
}

/// Where something was read, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub separator: Separator,
    pub number: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.separator {
            Separator::Newline => "line",
            Separator::Nul => "record",
        };
        write!(f, "{what} {}", self.number)
    }
}

impl EachError {
    /// How to go on.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Nul { .. } => {
                Some("-0 splits at NUL bytes, as `find -print0` writes them".into())
            }
            Self::NotText { .. } => {
                Some("`iconv -t UTF-8` or `grep -axv '.*'` finds such lines".into())
            }
            Self::UnknownColumn { name, known } => Some(format!(
                "the columns are {}; write `{{{{}}{name}}}` for the text itself",
                known.join(", ")
            )),
            Self::OpenQuote { .. } | Self::TextBehindQuote { .. } => {
                Some("a quote within a quoted field is written twice".into())
            }
            _ => None,
        }
    }
}

impl From<EachError> for CliError {
    fn from(error: EachError) -> Self {
        let told = Self::usage(error.to_string());
        match error.hint() {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}
