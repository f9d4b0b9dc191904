//! `scitq manage task VERB`.

mod cancel;
mod delete;
mod list;
mod output;
mod relaunch;
mod show;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

/// List, show, read and change tasks
#[derive(Debug, Args)]
pub struct TaskArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Output(output::OutputArgs),
    Relaunch(relaunch::RelaunchArgs),
    Cancel(cancel::CancelArgs),
    Delete(delete::DeleteArgs),
}

pub async fn cmd_task(session: &Session, args: TaskArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Show(args) => show::cmd_show(session, args).await,
        Verb::Output(args) => output::cmd_output(session, args).await,
        Verb::Relaunch(args) => relaunch::cmd_relaunch(session, args).await,
        Verb::Cancel(args) => cancel::cmd_cancel(session, args).await,
        Verb::Delete(args) => delete::cmd_delete(session, args).await,
    }
}
