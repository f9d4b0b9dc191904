//! `scitq manage file VERB`: data, wherever it is. No server is asked.

mod cat;
mod copy;
mod delete;
mod list;
mod movement;
mod sync;
mod tree;

pub use movement::{local_path, parse_place, send_folder};

use clap::{Args, Subcommand};

use crate::cli::app::GlobalArgs;
use crate::cli::error::CliError;
use crate::cli::site;

/// List, copy and delete data, here and on remote storage
#[derive(Debug, Args)]
pub struct FileArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Tree(tree::TreeArgs),
    Cat(cat::CatArgs),
    Copy(copy::CopyArgs),
    Sync(sync::SyncArgs),
    Delete(delete::DeleteArgs),
}

pub async fn cmd_file(global: &GlobalArgs, args: FileArgs) -> Result<u8, CliError> {
    site::use_storage_settings();
    let output = global.output();
    match args.verb {
        Verb::List(args) => list::cmd_list(&output, args).await?,
        Verb::Tree(args) => tree::cmd_tree(&output, args).await?,
        Verb::Cat(args) => cat::cmd_cat(&output, args).await?,
        Verb::Copy(args) => copy::cmd_copy(&output, args).await?,
        Verb::Sync(args) => sync::cmd_sync(&output, args).await?,
        Verb::Delete(args) => delete::cmd_delete(&output, args).await?,
    }
    output.flush()?;
    Ok(0)
}
