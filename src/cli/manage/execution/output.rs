//! `scitq manage execution output`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::follow::{Extent, show_execution};
use crate::cli::manage::options::StreamOptions;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::domain::ExecutionId;

/// Print what one execution wrote, byte for byte
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage execution output 31
  scitq manage execution output --follow --stderr 31")]
pub struct OutputArgs {
    /// The execution
    #[arg(value_name = "ID", value_parser = parse::id::<ExecutionId>)]
    id: ExecutionId,
    #[command(flatten)]
    streams: StreamOptions,
    /// Go on until the execution has ended
    #[arg(short, long)]
    follow: bool,
}

pub async fn cmd_output(session: &Session, args: OutputArgs) -> Result<(), CliError> {
    let extent = if args.follow { Extent::ToTheEnd } else { Extent::SoFar };
    show_execution(session, &session.client, args.id, args.streams.chosen(), extent).await
}
