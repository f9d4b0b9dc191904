//! `scitq manage server check`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::error::{CliError, ErrorKind};
use crate::cli::output::Output;
use crate::runtime_dir;
use crate::server::store::check;

/// Check a server's database against the rules that it must keep
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage server check
  scitq manage server check --data /srv/scitq

Reads the database in its directory, also while a server works there, and changes
nothing. Exits with 1 and one line for each breach where there are some.")]
pub struct CheckArgs {
    /// The data directory [default: that of a server of this user]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn cmd_check(output: &Output, args: &CheckArgs) -> Result<u8, CliError> {
    let data = args.data.clone().or_else(runtime_dir::default_data_dir).ok_or_else(|| {
        CliError::configuration("there is no home directory with data in it")
            .hint("name a directory with --data")
    })?;
    let database = data.join("scitq.db");
    if !database.is_file() {
        return Err(CliError::configuration(format!(
            "there is no database in `{}`",
            data.display()
        ))
        .hint("name the server's data directory with --data"));
    }
    let breaches = check::check(&database).map_err(|error| {
        CliError::of(ErrorKind::Refused, &error)
            .within(data.display())
            .hint("a database of another version is checked by the scitq of that version")
    })?;
    if args.json {
        output.json(&breaches)?;
    } else {
        for breach in &breaches {
            output.line(breach)?;
        }
    }
    output.flush()?;
    let voice = output.voice();
    if breaches.is_empty() {
        voice.status(format_args!("{} keeps all rules", data.display()));
        return Ok(0);
    }
    let count = breaches.len();
    let breach = if count == 1 { "breach" } else { "breaches" };
    voice.status(format_args!("{} has {count} {breach} of its rules", data.display()));
    Ok(1)
}
