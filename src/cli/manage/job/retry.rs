//! `scitq manage job retry`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::JobId;

/// Try failed jobs again
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage job retry 4,5")]
pub struct RetryArgs {
    /// The jobs, separated by spaces or commas
    #[arg(required = true, value_name = "ID")]
    jobs: Vec<IdList<JobId>>,
}

pub async fn cmd_retry(session: &Session, args: RetryArgs) -> Result<(), CliError> {
    for id in parse::flatten(&args.jobs) {
        session.client.retry_job(id).await.map_err(|e| session.explain(e))?;
        session.output.status(format_args!("job {id} tried again"));
    }
    Ok(())
}
