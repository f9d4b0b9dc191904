//! `scitq manage file copy`.

use clap::Args;

use super::movement::{RateOptions, copy, on_error, parse_place, show, tell};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::domain::uri::Uri;
use crate::storage;

/// Copy files and folders into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage file copy s3://bucket/run1/ run1/
  scitq manage file copy 'reads/*.fq.gz' azure://container/reads/
  scitq manage file copy 'https://localhost/genome.tar.gz|untar' genome/

A path without `://` is one of this machine. The destination is a folder, with a
final slash or without. A copy that was interrupted goes on when it is repeated.
From one remote to another, files go by way of this machine.")]
pub struct CopyArgs {
    /// Copy what is here
    #[arg(value_name = "FROM", value_parser = parse_place)]
    from: Uri,
    /// Copy into this folder
    #[arg(value_name = "TO", value_parser = parse_place, default_value = "./")]
    to: Uri,
    #[command(flatten)]
    rate: RateOptions,
}

pub async fn cmd_copy(output: &Output, args: CopyArgs) -> Result<(), CliError> {
    storage::check_input(&args.from).map_err(on_error)?;
    storage::check_output(&args.to).map_err(on_error)?;
    let transfer = args.rate.transfer();
    let work = async {
        let listing = storage::list(&args.from, &transfer).await?;
        copy(listing, &args.to, &transfer).await
    };
    let moved = show(output, &transfer, Box::pin(work)).await?;
    tell(output.voice(), "copied", &moved);
    Ok(())
}
