//! `scitq manage OBJECT VERB`: look at what there is, and change it.

mod batch;
mod change;
mod execution;
mod options;
mod select;
mod server;
mod states;
mod stdin;
mod task;
mod token;
mod uris;
mod worker;

use clap::{Args, Subcommand};

use super::app::GlobalArgs;
use super::error::CliError;
use super::session::Session;

/// Look at tasks, workers and batches, and change them
#[derive(Debug, Args)]
pub struct ManageArgs {
    #[command(subcommand)]
    object: Object,
}

#[derive(Debug, Subcommand)]
enum Object {
    Task(task::TaskArgs),
    Worker(worker::WorkerArgs),
    Batch(batch::BatchArgs),
    Execution(execution::ExecutionArgs),
    Server(server::ServerArgs),
    Token(token::TokenArgs),
}

pub async fn cmd_manage(global: &GlobalArgs, args: ManageArgs) -> Result<u8, CliError> {
    let session = Session::open(global)?;
    let mut code = 0;
    match args.object {
        Object::Task(args) => code = task::cmd_task(&session, args).await?,
        Object::Worker(args) => worker::cmd_worker(&session, args).await?,
        Object::Batch(args) => batch::cmd_batch(&session, args).await?,
        Object::Execution(args) => execution::cmd_execution(&session, args).await?,
        Object::Server(args) => server::cmd_server(&session, args).await?,
        Object::Token(args) => token::cmd_token(&session, args).await?,
    }
    session.output.flush()?;
    Ok(code)
}
