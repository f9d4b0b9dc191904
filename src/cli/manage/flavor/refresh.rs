//! `scitq manage flavor refresh`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::session::Session;

/// Ask all providers what they offer now
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage flavor refresh

The server asks by itself every hour.")]
pub struct RefreshArgs {}

pub async fn cmd_refresh(session: &Session, _: RefreshArgs) -> Result<(), CliError> {
    let list = session.client.refresh_flavors().await.map_err(|e| session.explain(e))?;
    let mut failed = Vec::new();
    for provider in list.providers {
        match &provider.error {
            Some(error) => failed.push(format!("{}: {error}", provider.name)),
            None => session.output.status(format_args!(
                "{} offers {}",
                provider.name,
                format::counted(provider.flavors, "flavor", "flavors")
            )),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(CliError::refused(failed.join("; "))) }
}
