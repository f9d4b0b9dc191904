//! `scitq manage file cat`.

use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;

use super::movement::{on_error, parse_place};
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::domain::uri::Uri;
use crate::storage::{self, Transfer};

/// Pieces that may wait to be printed.
const AHEAD: usize = 4;

/// Print the contents of files
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage file cat s3://bucket/run1/report.txt
  scitq manage file cat 'sftp://host/data/*.fq.gz' | zcat | head

Several files are printed one after the other, in the order of their names.")]
pub struct CatArgs {
    /// Print what is here
    #[arg(value_name = "URI", value_parser = parse_place)]
    place: Uri,
}

pub async fn cmd_cat(output: &Output, args: CatArgs) -> Result<(), CliError> {
    if let Some(action) = args.place.actions.first() {
        return Err(CliError::usage(format!("`|{action}` has no place where data is printed"))
            .hint("`scitq manage file copy` carries out actions"));
    }
    let transfer = Transfer::default();
    let found = storage::list(&args.place, &transfer).await.map_err(on_error)?;
    let (sender, mut pieces) = mpsc::channel::<Bytes>(AHEAD);
    let pouring = async {
        let poured = storage::pour(&found, &sender, &transfer).await;
        drop(sender);
        poured.map_err(on_error)
    };
    let printing = async {
        while let Some(piece) = pieces.recv().await {
            output.bytes(&piece)?;
        }
        Ok(())
    };
    // Whoever reads the output may leave: then nothing more is fetched.
    tokio::try_join!(pouring, printing).map(|_| ())
}
