//! `scitq manage config VERB`: what is set up on this machine. No server is asked.

mod rclone;

use clap::{Args, Subcommand};

use crate::cli::app::GlobalArgs;
use crate::cli::error::CliError;

/// Print what is set up on this machine
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Rclone(rclone::RcloneArgs),
}

pub fn cmd_config(global: &GlobalArgs, args: ConfigArgs) -> Result<u8, CliError> {
    let output = global.output();
    match args.verb {
        Verb::Rclone(args) => rclone::cmd_rclone(&output, &args)?,
    }
    output.flush()?;
    Ok(0)
}
