//! `scitq manage server status`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;

use crate::api::server::ServerStatus;
use crate::cli::details::Details;
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::output::Paint;
use crate::cli::session::Session;

/// Show how the server is
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage server status --json | jq .tasks.pending")]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_status(session: &Session, args: StatusArgs) -> Result<(), CliError> {
    let status = session.client.server_status().await.map_err(|e| session.explain(e))?;
    if args.json {
        return session.output.json(&status);
    }
    let mut lines = describe(&status);
    lines.add("address", session.client.address());
    lines.print(&session.output)
}

fn describe(status: &ServerStatus) -> Details {
    let up = format::duration(status.now.seconds_since(status.started_at));
    let since = format::date(status.started_at, &TimeZone::system());
    let mut lines = Details::default();
    match &status.commit_failure {
        None => match &status.shortage {
            None => lines.painted("state", "takes changes", Paint::Good),
            Some(cause) => {
                lines.painted("state", format_args!("takes no new tasks: {cause}"), Paint::Bad)
            }
        },
        Some(cause) => lines.painted("state", format_args!("refuses changes: {cause}"), Paint::Bad),
    };
    lines
        .add("version", &status.version)
        .add("up", format_args!("{up}, since {since}"))
        .add("tasks", counts(&status.tasks))
        .add("workers", counts(&status.workers))
        .add("batches", status.batches)
        .add("database", format::bytes(status.database_bytes))
        .add("output", format::bytes(status.output_bytes))
        .add("disk free", disk_free(status))
        .add("output kept", kept(status.retain_output_seconds, "as long as its task"))
        .add("tasks kept", kept(status.retain_finished_seconds, "until they are deleted"))
        .add("store", format_args!("{}, epoch {}", status.store, status.epoch.0));
    lines
}

fn disk_free(status: &ServerStatus) -> String {
    let free = format::bytes(status.disk_free_bytes);
    let free = format!("{free} of {}", format::bytes(status.disk_total_bytes));
    match status.disk_days_left {
        None => free,
        Some(days) => format!("{free}, enough for {days} days at the pace of the last week"),
    }
}

/// For how long something is kept after its end.
fn kept(seconds: Option<u64>, for_ever: &str) -> String {
    match seconds {
        None => for_ever.to_owned(),
        Some(seconds) => {
            format!(
                "for {} after its end",
                format::duration(Duration::from_secs(seconds).as_secs_f64())
            )
        }
    }
}

/// What there is of each state; `none` where there is nothing.
fn counts<K: Display>(counts: &BTreeMap<K, u64>) -> String {
    let some: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}
