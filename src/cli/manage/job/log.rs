//! `scitq manage job log`.

use clap::Args;

use crate::api::hiring::{JobView, ReadJobLog};
use crate::cli::error::CliError;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::domain::JobId;

/// Seconds for which one request waits for more.
const WAIT: u32 = 20;

/// Print what a job has logged
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage job log 4
  scitq manage job log --follow 4")]
pub struct LogArgs {
    /// The job
    #[arg(value_name = "ID", value_parser = parse::id::<JobId>)]
    job: JobId,
    /// Wait for more, until the job has ended
    #[arg(short, long)]
    follow: bool,
}

pub async fn cmd_log(session: &Session, args: LogArgs) -> Result<(), CliError> {
    if args.follow {
        let ended = follow(session, args.job, |text| session.output.bytes(text.as_bytes())).await?;
        return match ended.reason {
            Some(reason) => Err(CliError::refused(format!("job {} failed: {reason}", ended.id))),
            None => Ok(()),
        };
    }
    let mut read = ReadJobLog::default();
    loop {
        let piece = session.client.job_log(args.job, read).await;
        let piece = piece.map_err(|e| session.explain(e))?;
        if piece.text.is_empty() {
            return Ok(());
        }
        session.output.bytes(piece.text.as_bytes())?;
        read.offset = piece.next;
    }
}

/// Hands a job's log over as it grows, until the job has ended.
pub async fn follow(
    session: &Session,
    job: JobId,
    tell: impl Fn(&str) -> Result<(), CliError>,
) -> Result<JobView, CliError> {
    let mut read = ReadJobLog { offset: 0, wait_seconds: Some(WAIT) };
    loop {
        let piece = session.client.job_log(job, read).await.map_err(|e| session.explain(e))?;
        if !piece.text.is_empty() {
            tell(&piece.text)?;
            session.output.flush()?;
            read.offset = piece.next;
        } else if piece.complete {
            return session.client.job(job).await.map_err(|e| session.explain(e));
        }
    }
}
