//! `scitq manage task wait`.

use std::time::Duration;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::manage::select::TaskSelection;
use crate::cli::parse;
use crate::cli::session::Session;
use crate::cli::wait::{Watch, watch_tasks};

/// Wait until tasks have ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage task wait 12
  scitq manage task wait --batch qc && scitq launch multiqc /data/qc
  scitq launch --each -- gzip {} < files | scitq manage task wait -

For one task the exit code is that of its command, as with `scitq launch
--wait`. For several it is 0 when all have succeeded and 1 when one has failed.
Of those that fit a description, the ones that are there now are awaited.")]
pub struct WaitArgs {
    #[command(flatten)]
    tasks: TaskSelection,
    /// Give up when the server is away for longer [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    wait_limit: Option<Duration>,
}

pub async fn cmd_wait(session: &Session, args: WaitArgs) -> Result<u8, CliError> {
    let selected = args.tasks.find(session, &[]).await?;
    watch_tasks(session, selected.ids(), Watch::Ending, args.wait_limit).await
}
