//! Options that several verbs share.

use clap::Args;
use serde::Serialize;

use crate::api::task::ChangedTasks;
use crate::cli::error::CliError;
use crate::cli::follow::Streams;
use crate::cli::listing::ListForm;
use crate::cli::output::Output;
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
#[derive(Debug, Clone, Copy, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ListOptions {
    /// Leave out the line of titles
    #[arg(short = 'H', long)]
    pub no_header: bool,
    /// Show more columns, and cut nothing
    #[arg(short = 'L', long)]
    pub wide: bool,
    /// Print one JSON array
    #[arg(long, conflicts_with = "json_lines")]
    pub json: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json_lines: bool,
}

impl ListOptions {
    #[must_use]
    pub const fn form(self) -> ListForm {
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

/// How a change of tasks is told.
#[derive(Debug, Clone, Copy, Args)]
pub struct ChangeOptions {
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

impl ChangeOptions {
    /// Tells which tasks were changed: a sentence on a terminal, the ids alone
    /// in a pipe.
    pub fn tell(
        self,
        session: &Session,
        done: &str,
        changed: &ChangedTasks,
    ) -> Result<(), CliError> {
        if self.json {
            return session.output.json(changed);
        }
        if !session.output.is_terminal() {
            return changed.ids.iter().try_for_each(|id| session.output.line(id));
        }
        match changed.ids.as_slice() {
            [] => session.output.status(format_args!("no task had to be {done}")),
            [id] => session.output.status(format_args!("task {id} {done}")),
            ids => session.output.status(format_args!("{} tasks {done}", ids.len())),
        }
        Ok(())
    }
}
