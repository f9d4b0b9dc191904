//! `scitq manage job delete`.

use clap::Args;

use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::states;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::JobId;
use crate::domain::job::JobState;

/// Forget jobs that have ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage job delete 4
  scitq manage job delete --state failed,succeeded

A job that has not ended is cancelled first: scitq manage job cancel.")]
pub struct DeleteArgs {
    /// The jobs, separated by spaces or commas
    #[arg(required_unless_present = "state", value_name = "ID")]
    jobs: Vec<IdList<JobId>>,
    /// All that ended like this
    #[arg(short = 'S', long, value_name = "STATE", value_delimiter = ',', conflicts_with = "jobs", value_parser = states::parser::<JobState>())]
    state: Vec<JobState>,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_delete(session: &Session, args: DeleteArgs) -> Result<(), CliError> {
    let mut ids = parse::flatten(&args.jobs);
    if !args.state.is_empty() {
        let jobs = session.client.list_jobs().await.map_err(|e| session.explain(e))?.jobs;
        let ended = jobs.iter().filter(|job| job.state.is_final());
        ids = ended.filter(|job| args.state.contains(&job.state)).map(|job| job.id).collect();
        let what = format::counted(ids.len() as u64, "job", "jobs");
        if ids.is_empty() {
            session.output.status("there is no such job");
            return Ok(());
        }
        ask::confirm(args.consent, &format!("forget {what}"))?;
    }
    let count = ids.len() as u64;
    session.client.delete_jobs(ids).await.map_err(|e| session.explain(e))?;
    session.output.status(format_args!("forgot {}", format::counted(count, "job", "jobs")));
    Ok(())
}
