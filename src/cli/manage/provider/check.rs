//! `scitq manage provider check`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::session::Session;

/// Ask a provider what it offers and which machines it has
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage provider check ovh")]
pub struct CheckArgs {
    /// The provider, as server.toml calls it
    #[arg(value_name = "NAME")]
    provider: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_check(session: &Session, args: CheckArgs) -> Result<(), CliError> {
    let checked = session.client.check_provider(&args.provider).await;
    let provider = checked.map_err(|e| session.explain(e))?;
    if args.json {
        session.output.json(&provider)?;
    }
    if let Some(error) = &provider.error {
        return Err(CliError::refused(format!("provider {}: {error}", provider.name))
            .hint("its settings are in the server's server.toml"));
    }
    if !args.json {
        session.output.status(format_args!(
            "provider {} ({}) offers {} and has {} of ours",
            provider.name,
            provider.kind,
            format::counted(provider.flavors, "flavor", "flavors"),
            format::counted(provider.workers, "machine", "machines"),
        ));
    }
    for orphan in &provider.orphans {
        session.output.voice().warning(format_args!(
            "nobody knows the machine of {} in {}{}",
            orphan.worker,
            orphan.region,
            orphan.machine.as_ref().map(|id| format!(" ({id})")).unwrap_or_default()
        ));
    }
    Ok(())
}
