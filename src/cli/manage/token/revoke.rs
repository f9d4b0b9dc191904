//! `scitq manage token revoke`.

use clap::Args;

use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::TokenId;

/// Revoke access tokens
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage token revoke 4")]
pub struct RevokeArgs {
    /// The tokens, separated by spaces or commas
    #[arg(required = true, value_name = "ID")]
    tokens: Vec<IdList<TokenId>>,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_revoke(session: &Session, args: RevokeArgs) -> Result<(), CliError> {
    let ids = parse::flatten(&args.tokens);
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ask::confirm(args.consent, &format!("revoke token {}", names.join(", ")))?;
    for id in ids {
        session.client.delete_token(id).await.map_err(|e| session.explain(e))?;
        session.output.status(format_args!("token {id} revoked"));
    }
    Ok(())
}
