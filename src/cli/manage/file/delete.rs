//! `scitq manage file delete`.

use clap::Args;

use super::movement::{on_error, parse_place};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::output::Output;
use crate::domain::uri::Uri;
use crate::storage::{self, Transfer};

/// Delete files, and folders with all that is in them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage file delete s3://bucket/run1/ --dry-run
  scitq manage file delete 'sftp://host/scratch/*.tmp' --yes")]
pub struct DeleteArgs {
    /// Delete what is here
    #[arg(value_name = "URI", value_parser = parse_place)]
    place: Uri,
    /// Print the names of what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_delete(output: &Output, args: DeleteArgs) -> Result<(), CliError> {
    if let Some(action) = args.place.actions.first() {
        return Err(CliError::usage(format!("`|{action}` has no place where data is deleted")));
    }
    let transfer = Transfer::default();
    let found = storage::list(&args.place, &transfer).await.map_err(on_error)?;
    if args.dry_run {
        for (name, entry) in found.entries() {
            let slash = if entry.is_folder() { "/" } else { "" };
            output.line(format_args!("{}{slash}", name.display()))?;
        }
        return Ok(());
    }
    let count = found.file_count();
    let files = if count == 1 { "file" } else { "files" };
    let size = format::bytes(found.bytes());
    ask::confirm(args.consent, &format!("delete {count} {files}, {size}, of `{}`", args.place))?;
    let deleted = storage::delete(&args.place, &transfer).await.map_err(on_error)?;
    output
        .status(format_args!("deleted {deleted} {}", if deleted == 1 { "file" } else { "files" }));
    Ok(())
}
