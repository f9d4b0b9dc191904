//! `scitq manage token VERB`.

mod create;
mod list;
mod revoke;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Make, list and revoke access tokens
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Revoke(revoke::RevokeArgs),
}

pub async fn cmd_token(session: &Session, args: TokenArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::Create(args) => create::cmd_create(session, args).await,
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Revoke(args) => revoke::cmd_revoke(session, args).await,
    }
}
