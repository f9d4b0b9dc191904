//! `scitq manage token list`.

use clap::Args;

use crate::api::token::TokenView;
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::ListOptions;
use crate::cli::session::Session;
use crate::cli::table::{elastic, number, optional, text};

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
    args.options.print(&session.output, fields(), list.tokens)
}

fn fields() -> Vec<Field<TokenView>> {
    vec![
        Field::new(number("ID"), |token: &TokenView, _: &Moment| token.id.into())
            .sorted(|a, b| a.id.cmp(&b.id)),
        Field::new(elastic("NAME"), |token: &TokenView, _| token.name.as_str().into())
            .sorted(|a, b| a.name.cmp(&b.name)),
        Field::new(text("ROLE"), |token: &TokenView, _| token.role.into())
            .sorted(|a, b| a.role.to_string().cmp(&b.role.to_string())),
        Field::new(number("WORKER"), |token: &TokenView, _| {
            token.worker.map(|worker| worker.to_string()).unwrap_or_default().into()
        }),
        Field::new(text("CREATED"), |token: &TokenView, moment| {
            format::date(token.created_at, &moment.zone).into()
        })
        .sorted(|a, b| a.created_at.cmp(&b.created_at)),
        Field::new(text("EXPIRES"), |token: &TokenView, moment| {
            token.expires_at.map(|at| format::date(at, &moment.zone)).unwrap_or_default().into()
        })
        .sorted(|a, b| a.expires_at.cmp(&b.expires_at)),
        Field::new(text("USED"), |token: &TokenView, moment| {
            let used = token.last_used_at.map(|at| format::date(at, &moment.zone));
            used.unwrap_or_else(|| "never".to_owned()).into()
        })
        .sorted(|a, b| a.last_used_at.cmp(&b.last_used_at)),
        Field::new(optional(elastic("BY")), |token: &TokenView, _| {
            token.created_by.as_str().into()
        }),
    ]
}
