//! `scitq manage worker VERB`.

mod delete;
mod list;
mod select;
mod show;
mod update;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

/// List, show and change workers
#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Delete(delete::DeleteArgs),
}

pub async fn cmd_worker(session: &Session, args: WorkerArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Show(args) => show::cmd_show(session, args).await,
        Verb::Update(args) => update::cmd_update(session, args).await,
        Verb::Delete(args) => delete::cmd_delete(session, args).await,
    }
}
