//! `scitq manage execution VERB`: single attempts at tasks.

mod list;
mod output;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

pub use list::print_executions;

/// List attempts at tasks and read their output
#[derive(Debug, Args)]
pub struct ExecutionArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Output(output::OutputArgs),
}

pub async fn cmd_execution(session: &Session, args: ExecutionArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Output(args) => output::cmd_output(session, args).await,
    }
}
