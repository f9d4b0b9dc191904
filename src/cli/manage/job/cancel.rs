//! `scitq manage job cancel`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::JobId;

/// Cancel jobs: what they make is taken away, what they destroy stays
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage job cancel 4,5")]
pub struct CancelArgs {
    /// The jobs, separated by spaces or commas
    #[arg(required = true, value_name = "ID")]
    jobs: Vec<IdList<JobId>>,
}

pub async fn cmd_cancel(session: &Session, args: CancelArgs) -> Result<(), CliError> {
    for id in parse::flatten(&args.jobs) {
        session.client.cancel_job(id).await.map_err(|e| session.explain(e))?;
        session.output.status(format_args!("job {id} cancelled"));
    }
    Ok(())
}
