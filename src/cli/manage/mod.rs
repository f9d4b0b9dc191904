//! `scitq manage OBJECT VERB`: look at what there is, and change it.

mod batch;
mod change;
mod config;
mod debug;
mod execution;
mod file;
mod flavor;
mod import;
mod job;
mod options;
mod provider;
mod recruiter;
mod select;
mod server;
pub mod states;
mod stdin;
mod task;
mod token;
mod units;
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
    File(file::FileArgs),
    Config(config::ConfigArgs),
    Server(server::ServerArgs),
    #[command(flatten)]
    OfServer(ObjectOfServer),
}

/// What a server knows of.
#[derive(Debug, Subcommand)]
enum ObjectOfServer {
    Task(task::TaskArgs),
    Worker(worker::WorkerArgs),
    Batch(batch::BatchArgs),
    Execution(execution::ExecutionArgs),
    Recruiter(recruiter::RecruiterArgs),
    Flavor(flavor::FlavorArgs),
    Provider(provider::ProviderArgs),
    Job(job::JobArgs),
    Token(token::TokenArgs),
    Debug(debug::DebugArgs),
}

pub async fn cmd_manage(global: &GlobalArgs, args: ManageArgs) -> Result<u8, CliError> {
    let object = match args.object {
        Object::File(args) => return file::cmd_file(global, args).await,
        Object::Config(args) => return config::cmd_config(global, args),
        Object::Server(args) => return server::cmd_server(global, args).await,
        Object::OfServer(object) => object,
    };
    let session = Session::open(global)?;
    let mut code = 0;
    match object {
        ObjectOfServer::Task(args) => code = task::cmd_task(&session, args).await?,
        ObjectOfServer::Worker(args) => worker::cmd_worker(&session, args).await?,
        ObjectOfServer::Batch(args) => batch::cmd_batch(&session, args).await?,
        ObjectOfServer::Execution(args) => execution::cmd_execution(&session, args).await?,
        ObjectOfServer::Recruiter(args) => recruiter::cmd_recruiter(&session, args).await?,
        ObjectOfServer::Flavor(args) => flavor::cmd_flavor(&session, args).await?,
        ObjectOfServer::Provider(args) => provider::cmd_provider(&session, args).await?,
        ObjectOfServer::Job(args) => job::cmd_job(&session, args).await?,
        ObjectOfServer::Debug(args) => code = debug::cmd_debug(global, &session, args).await?,
        ObjectOfServer::Token(args) => token::cmd_token(&session, args).await?,
    }
    session.output.flush()?;
    Ok(code)
}
