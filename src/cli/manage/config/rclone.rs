//! `scitq manage config rclone`.

use clap::Args;

use crate::cli::error::{CliError, ErrorKind};
use crate::cli::output::Output;
use crate::cli::site;
use crate::storage::settings::{Secrets, as_rclone_conf};

/// Print the remotes of this machine as an rclone.conf
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage config rclone
  (umask 077; scitq manage config rclone --show-secrets >rclone.conf)

These are the remotes of storage.toml and of the rclone.conf that scitq reads.
Passwords are obscured, as rclone wants them, which is no protection.")]
pub struct RcloneArgs {
    /// Print passwords and keys as well
    #[arg(long)]
    show_secrets: bool,
}

pub fn cmd_rclone(output: &Output, args: &RcloneArgs) -> Result<(), CliError> {
    let sections = site::storage_settings()
        .list()
        .map_err(|error| CliError::of(ErrorKind::Configuration, &error))?;
    let secrets = if args.show_secrets { Secrets::Shown } else { Secrets::LeftOut };
    let text = as_rclone_conf(&sections, secrets)
        .map_err(|error| CliError::of(ErrorKind::Configuration, &error))?;
    output.bytes(text.as_bytes())
}
