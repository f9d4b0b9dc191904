//! `scitq manage OBJECT VERB`: look at what there is, and change it.

mod options;
mod select;
mod states;
mod task;

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
}

pub async fn cmd_manage(global: &GlobalArgs, args: ManageArgs) -> Result<u8, CliError> {
    let session = Session::open(global)?;
    match args.object {
        Object::Task(args) => task::cmd_task(&session, args).await?,
    }
    session.output.flush()?;
    Ok(0)
}
