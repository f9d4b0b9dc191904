//! `scitq manage token create`.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::api::token::{CreateToken, Role};
use crate::cli::error::CliError;
use crate::cli::manage::states;
use crate::cli::parse;
use crate::cli::session::Session;

/// Make an access token and print it, once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage token create --name ada --role user > ada.token
  scitq manage token create --name cluster --role agent --expires-in 1d

An admin may do everything; a user may do all but manage tokens; an agent
token joins a worker; a read token changes nothing.")]
pub struct CreateArgs {
    /// Who will use it; recorded with every change
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// What it allows
    #[arg(short, long, value_parser = states::parser::<Role>())]
    role: Role,
    /// Let it end after so long: 12h, 30d [default: never]
    #[arg(short, long, value_name = "DURATION", value_parser = parse::duration)]
    expires_in: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_create(session: &Session, args: CreateArgs) -> Result<(), CliError> {
    let request = CreateToken {
        name: args.name,
        role: args.role,
        expires_in_seconds: args.expires_in.map(|life| life.as_secs()),
    };
    let created = session.client.create_token(&request).await.map_err(|e| session.explain(e))?;
    if args.json {
        return session.output.json(&created);
    }
    session.output.line(&created.token)?;
    session.output.flush()?;
    session.output.status(format_args!(
        "token {} for {} ({}); it is not shown again",
        created.id, created.name, created.role
    ));
    Ok(())
}
