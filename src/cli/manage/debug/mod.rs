//! `scitq manage debug VERB`.

mod run;

use clap::{Args, Subcommand};

use crate::cli::app::GlobalArgs;
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Find out by hand what is wrong with a task
#[derive(Debug, Args)]
pub struct DebugArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::RunArgs),
}

pub async fn cmd_debug(
    global: &GlobalArgs,
    session: &Session,
    args: DebugArgs,
) -> Result<u8, CliError> {
    match args.verb {
        Verb::Run(args) => run::cmd_run(global, session, args).await,
    }
}
