//! `scitq manage recruiter VERB`.

mod delete;
mod explain;
mod list;
mod set;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Let batches hire workers by themselves
#[derive(Debug, Args)]
pub struct RecruiterArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Create(set::CreateArgs),
    Update(set::UpdateArgs),
    Delete(delete::DeleteArgs),
    Explain(explain::ExplainArgs),
}

pub async fn cmd_recruiter(session: &Session, args: RecruiterArgs) -> Result<(), CliError> {
    match args.verb {
        Verb::List(args) => list::cmd_list(session, args).await,
        Verb::Create(args) => set::cmd_create(session, args).await,
        Verb::Update(args) => set::cmd_update(session, args).await,
        Verb::Delete(args) => delete::cmd_delete(session, args).await,
        Verb::Explain(args) => explain::cmd_explain(session, args).await,
    }
}
