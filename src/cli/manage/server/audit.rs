//! `scitq manage server audit`.

use clap::Args;

use crate::api::audit::{AuditEntry, ListAudit};
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::{ListOptions, page_size};
use crate::cli::session::Session;
use crate::cli::table::{elastic, number, optional, text};

/// List who did what, the latest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage server audit --limit 20
  scitq manage server audit --who ada --action task.delete --json-lines

Without --limit it lists the latest thousand.")]
pub struct AuditArgs {
    /// Only what the holder of this token did, by its name
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only actions that begin so: token., task.delete
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    #[command(flatten)]
    options: ListOptions,
}

/// Entries that are listed where nobody says how many.
const USUAL: u64 = 1_000;

pub async fn cmd_audit(session: &Session, args: AuditArgs) -> Result<(), CliError> {
    let AuditArgs { who, action, options } = args;
    let most = if options.most() == u64::MAX { USUAL } else { options.most() };
    let mut entries: Vec<AuditEntry> = Vec::new();
    let mut before = None;
    loop {
        let limit = page_size(most - entries.len() as u64);
        let query =
            ListAudit { who: who.clone(), action: action.clone(), before, limit: Some(limit) };
        let page = session.client.list_audit(&query).await.map_err(|e| session.explain(e))?;
        let is_last = page.entries.len() < limit as usize;
        entries.extend(page.entries);
        before = entries.last().map(|entry| entry.id);
        if is_last || entries.len() as u64 >= most {
            break;
        }
    }
    options.print(&session.output, fields(), entries)
}

fn fields() -> Vec<Field<AuditEntry>> {
    vec![
        Field::new(number("ID"), |entry: &AuditEntry, _: &Moment| entry.id.into())
            .sorted(|a, b| a.id.cmp(&b.id)),
        Field::new(text("AT"), |entry: &AuditEntry, moment| {
            format::date(entry.at, &moment.zone).into()
        })
        .sorted(|a, b| a.at.cmp(&b.at)),
        Field::new(elastic("WHO"), |entry: &AuditEntry, _| entry.who.as_str().into())
            .sorted(|a, b| a.who.cmp(&b.who)),
        Field::new(text("ACTION"), |entry: &AuditEntry, _| entry.action.as_str().into())
            .sorted(|a, b| a.action.cmp(&b.action)),
        Field::new(optional(elastic("DETAIL")), |entry: &AuditEntry, _| {
            entry.detail.as_str().into()
        }),
    ]
}
