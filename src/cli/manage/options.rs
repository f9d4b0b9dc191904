//! Options that several verbs share.

use clap::Args;
use serde::Serialize;

use crate::cli::columns::{self, Field, Moment, Width};
use crate::cli::error::CliError;
use crate::cli::follow::Streams;
use crate::cli::listing::{ListForm, Listing};
use crate::cli::output::Output;
use crate::cli::parse::{self, Sorting};
use crate::cli::session::Session;
use crate::cli::table::{Fit, Header};
use crate::domain::execution::Stream;

/// Items of a list that one request asks for at most.
pub const PAGE: u32 = 1_000;

/// Items to ask for when so many are still wanted.
#[must_use]
pub fn page_size(left: u64) -> u32 {
    u32::try_from(left).unwrap_or(PAGE).min(PAGE)
}

/// Prints one object, or several as an array.
pub fn print_json(output: &Output, objects: &[impl Serialize]) -> Result<(), CliError> {
    match objects {
        [object] => output.json(object),
        objects => output.json(&objects),
    }
}

/// How a list is printed.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ListOptions {
    /// Leave out the line of titles
    #[arg(short = 'H', long)]
    no_header: bool,
    /// Show more columns, and cut nothing
    #[arg(short = 'L', long)]
    wide: bool,
    /// Show these columns, by their titles, separated by commas
    #[arg(long, value_name = "COLUMN", value_delimiter = ',', conflicts_with_all = ["json", "json_lines"])]
    columns: Vec<String>,
    /// Sort by this column, with `:desc` the last ones first
    #[arg(long, value_name = "COLUMN[:desc]")]
    sort: Option<Sorting>,
    /// List so many at most
    #[arg(short, long, value_name = "COUNT", value_parser = parse::count::<u64>)]
    limit: Option<u64>,
    /// Print one JSON array
    #[arg(long, conflicts_with = "json_lines")]
    json: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json_lines: bool,
}

impl ListOptions {
    /// The column by which the list is sorted.
    #[must_use]
    pub const fn sorting(&self) -> Option<&Sorting> {
        self.sort.as_ref()
    }

    /// How many items are listed at most.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX)
    }

    /// A list with these columns, to be printed page by page.
    ///
    /// # Errors
    /// A column was named that the list does not have.
    pub fn listing<'a, T: Serialize + 'a>(
        &self,
        output: &'a Output,
        fields: Vec<Field<T>>,
    ) -> Result<Listing<'a, T>, CliError> {
        let width = if self.wide { Width::Wide } else { Width::Usual };
        let chosen = columns::choose(fields, &self.columns, width)?;
        let columns = chosen.iter().map(Field::column).collect();
        let moment = Moment::present();
        let row = move |item: &T| chosen.iter().map(|field| field.cell(item, &moment)).collect();
        Ok(Listing::new(output, self.form(), columns, row))
    }

    /// Prints a list that is here as a whole, sorted and cut as asked for.
    ///
    /// # Errors
    /// A column was named that the list does not have, or does not sort by.
    pub fn print<T: Serialize>(
        &self,
        session: &Session,
        fields: Vec<Field<T>>,
        mut items: Vec<T>,
    ) -> Result<(), CliError> {
        if let Some(sorting) = &self.sort {
            columns::sort(&mut items, &fields, sorting)?;
        }
        items.truncate(usize::try_from(self.most()).unwrap_or(usize::MAX));
        let mut listing = self.listing(&session.output, fields)?;
        listing.page(&items)?;
        listing.finish()
    }

    const fn form(&self) -> ListForm {
        if self.json {
            return ListForm::JsonArray;
        }
        if self.json_lines {
            return ListForm::JsonLines;
        }
        ListForm::Table {
            header: if self.no_header { Header::Hidden } else { Header::Shown },
            fit: if self.wide { Fit::Whole } else { Fit::Terminal },
        }
    }
}

/// Which output streams are printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct StreamOptions {
    /// Print standard output only
    #[arg(short = 'o', long = "stdout")]
    stdout: bool,
    /// Print standard error only, on standard output
    #[arg(short = 'e', long = "stderr")]
    stderr: bool,
}

impl StreamOptions {
    #[must_use]
    pub const fn chosen(self) -> Streams {
        match (self.stdout, self.stderr) {
            (true, false) => Streams::Only(Stream::Stdout),
            (false, true) => Streams::Only(Stream::Stderr),
            _ => Streams::Both,
        }
    }
}
