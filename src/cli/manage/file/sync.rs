//! `scitq manage file sync`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::movement::{RateOptions, copy, on_error, parse_place, show, tell};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::domain::uri::Uri;
use crate::storage::{self, Entry, EntryKind, StorageError, Transfer};

/// Copy what a folder lacks or has in another state
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage file sync results/ s3://bucket/results/
  scitq manage file sync sftp://host/data/ data/ --dry-run

A file is copied when the destination has none of its name and size, or an older
one. Nothing is deleted.")]
pub struct SyncArgs {
    /// Copy what is in this folder, or fits this pattern
    #[arg(value_name = "FROM", value_parser = parse_place)]
    from: Uri,
    /// Copy into this folder
    #[arg(value_name = "TO", value_parser = parse_place)]
    to: Uri,
    /// Print the names of what would be copied, and copy nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    rate: RateOptions,
}

pub async fn cmd_sync(output: &Output, args: SyncArgs) -> Result<(), CliError> {
    storage::check_input(&args.from).map_err(on_error)?;
    storage::check_output(&args.to).map_err(on_error)?;
    if let Some(action) = args.from.actions.first() {
        return Err(CliError::usage(format!("`|{action}` cannot be compared with a folder"))
            .hint("`scitq manage file copy` carries out actions"));
    }
    let transfer = args.rate.transfer();
    let (mut wanted, there) = find(&args, &transfer).await.map_err(on_error)?;
    wanted.retain(|name, entry| there.get(name).is_none_or(|other| is_newer(entry, other)));
    if args.dry_run {
        for (name, entry) in wanted.entries() {
            if !entry.is_folder() {
                output.line(name.display())?;
            }
        }
        return Ok(());
    }
    let moved = show(output, &transfer, Box::pin(copy(wanted, &args.to, &transfer))).await?;
    tell(output.voice(), "copied", &moved);
    Ok(())
}

/// What is to be copied, and what is at the destination.
async fn find(
    args: &SyncArgs,
    transfer: &Transfer,
) -> Result<(storage::Listing, BTreeMap<PathBuf, Entry>), StorageError> {
    let wanted = storage::list(&args.from, transfer).await?;
    let path = format!("{}/", args.to.path.trim_end_matches('/'));
    let there = match storage::list(&Uri { path, ..args.to.clone() }, transfer).await {
        Ok(there) => there,
        Err(StorageError::NotFound { .. }) => return Ok((wanted, BTreeMap::new())),
        Err(error) => return Err(error),
    };
    let entries = there.entries().map(|(name, entry): (&Path, _)| (name.to_owned(), entry.clone()));
    Ok((wanted, entries.collect()))
}

/// Whether what is there is not what is to be copied.
fn is_newer(entry: &Entry, there: &Entry) -> bool {
    match (entry.kind, there.kind) {
        (EntryKind::File(from), EntryKind::File(to)) => {
            // A remote keeps the date of the copy. File systems keep dates less exactly than others.
            let second = std::time::Duration::from_secs(1);
            from.bytes != to.bytes || from.modified > to.modified + second
        }
        (EntryKind::Folder, EntryKind::Folder) => false,
        _ => true,
    }
}
