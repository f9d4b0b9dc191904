//! `scitq manage provider VERB`.

mod check;
mod list;
mod script;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Look at the providers of machines that are set up
#[derive(Debug, Args)]
pub struct ProviderArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Check(check::CheckArgs),
    Script(script::ScriptArgs),
}

pub async fn cmd_provider(session: &Session, args: ProviderArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Check(args) => check::cmd_check(session, args).await,
        Verb::Script(args) => script::cmd_script(session, args).await,
    }
}
