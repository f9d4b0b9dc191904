//! `scitq manage token list`.

use clap::Args;
use jiff::tz::TimeZone;

use crate::api::token::TokenView;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::listing::Listing;
use crate::cli::manage::options::ListOptions;
use crate::cli::session::Session;
use crate::cli::table::{Cell, elastic, number, optional, text};

/// List access tokens, without their secrets
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage token list")]
pub struct ListArgs {
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let list = session.client.list_tokens().await.map_err(|e| session.explain(e))?;
    let columns = vec![
        number("ID"),
        elastic("NAME"),
        text("ROLE"),
        number("WORKER"),
        text("CREATED"),
        optional(elastic("BY")),
    ];
    let zone = TimeZone::system();
    let row = |token: &TokenView| row(token, &zone);
    let mut listing = Listing::new(&session.output, args.options.form(), columns, row);
    listing.page(&list.tokens)?;
    listing.finish()
}

fn row(token: &TokenView, zone: &TimeZone) -> Vec<Cell> {
    vec![
        token.id.into(),
        token.name.as_str().into(),
        token.role.into(),
        token.worker.map(|worker| worker.to_string()).unwrap_or_default().into(),
        format::date(token.created_at, zone).into(),
        token.created_by.as_str().into(),
    ]
}
