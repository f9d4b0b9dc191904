//! `scitq manage recruiter explain`.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::details::Details;
use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::BatchName;

/// Say why the recruiters of a batch hire, or do not
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage recruiter explain assembly")]
pub struct ExplainArgs {
    /// The batch
    batch: BatchName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_explain(session: &Session, args: ExplainArgs) -> Result<(), CliError> {
    let explained = session.client.explain_recruiters(&args.batch).await;
    let explained = explained.map_err(|e| session.explain(e))?;
    if args.json {
        return session.output.json(&explained);
    }
    let mut lines = Details::default();
    lines
        .add("batch", &explained.batch)
        .add("pending tasks", explained.pending)
        .add("workers", explained.workers)
        .each("cost an hour", amounts(&explained.cost_per_hour))
        .each("cost to date", amounts(&explained.spent));
    if explained.recruiters.is_empty() {
        lines.add("recruiters", "none: scitq manage recruiter create");
    }
    for reason in &explained.recruiters {
        lines
            .add("recruiter", format_args!("{}: {}", reason.rank, reason.verdict))
            .each("  takes over", &reason.recycles)
            .each("  hires", &reason.hires)
            .maybe("  still wants", Some(reason.missing).filter(|missing| *missing > 0));
    }
    lines.print(&session.output)
}

fn amounts(amounts: &BTreeMap<String, f64>) -> Vec<String> {
    amounts.iter().map(|(currency, amount)| format!("{amount:.3} {currency}")).collect()
}
