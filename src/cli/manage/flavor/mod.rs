//! `scitq manage flavor VERB`.

mod import;
mod list;
mod refresh;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Look at the kinds of machines that can be hired
#[derive(Debug, Args)]
pub struct FlavorArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(Box<list::ListArgs>),
    Import(import::ImportArgs),
    Refresh(refresh::RefreshArgs),
}

pub async fn cmd_flavor(session: &Session, args: FlavorArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, *args).await,
        Verb::Import(args) => import::cmd_import(session, args).await,
        Verb::Refresh(args) => refresh::cmd_refresh(session, args).await,
    }
}
