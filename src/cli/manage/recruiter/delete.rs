//! `scitq manage recruiter delete`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::BatchName;

/// Delete a recruiter; the workers that it has hired stay
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage recruiter delete --batch assembly --rank 2")]
pub struct DeleteArgs {
    /// Of this batch
    #[arg(short, long)]
    batch: BatchName,
    /// The one of this rank
    #[arg(short = 'n', long, default_value = "1")]
    rank: u32,
}

pub async fn cmd_delete(session: &Session, args: DeleteArgs) -> Result<(), CliError> {
    let DeleteArgs { batch, rank } = args;
    session.client.delete_recruiter(&batch, rank).await.map_err(|e| session.explain(e))?;
    session.output.status(format_args!("recruiter {rank} of batch {batch} deleted"));
    Ok(())
}
