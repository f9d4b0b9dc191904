//! `scitq manage job VERB`.

mod cancel;
mod delete;
mod list;
mod log;
mod retry;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Look at what is done at providers of machines, and change it
#[derive(Debug, Args)]
pub struct JobArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Log(log::LogArgs),
    Cancel(cancel::CancelArgs),
    Retry(retry::RetryArgs),
    Delete(delete::DeleteArgs),
}

pub async fn cmd_job(session: &Session, args: JobArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Log(args) => log::cmd_log(session, args).await,
        Verb::Cancel(args) => cancel::cmd_cancel(session, args).await,
        Verb::Retry(args) => retry::cmd_retry(session, args).await,
        Verb::Delete(args) => delete::cmd_delete(session, args).await,
    }
}
