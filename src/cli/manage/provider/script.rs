//! `scitq manage provider script`.

use clap::Args;

use crate::api::hiring::AskScript;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::ProviderName;

/// Print the script that turns a fresh machine into a worker
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage provider script ovh > prepare.sh

Where it says TOKEN, a token with the role agent belongs.")]
pub struct ScriptArgs {
    /// The provider, as server.toml calls it
    #[arg(value_name = "NAME")]
    provider: String,
    /// As for a machine of this flavor
    #[arg(short, long)]
    flavor: Option<String>,
    /// As for a machine in this region
    #[arg(short, long)]
    region: Option<String>,
}

pub async fn cmd_script(session: &Session, args: ScriptArgs) -> Result<(), CliError> {
    let ask = AskScript { flavor: args.flavor, region: args.region };
    let name = ProviderName::new(args.provider);
    let asked = session.client.provider_script(&name, &ask).await;
    match asked.map_err(|e| session.explain(e))?.script {
        Some(script) => session.output.bytes(script.as_bytes()),
        None => Err(CliError::refused(format!("machines of {name} need no preparation"))),
    }
}
