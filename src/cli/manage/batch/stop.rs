//! `scitq manage batch stop`.

use clap::Args;

use super::end::{End, end};
use super::pause::pause;
use super::select::SomeBatches;
use crate::api::batch::WithTasks;
use crate::cli::ask::Consent;
use crate::cli::error::CliError;
use crate::cli::session::Session;

/// Pause batches and stop all their commands with SIGTERM
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage batch stop qc
  scitq manage batch stop --yes -n qc --kill

The tasks whose commands are stopped fail as cancelled and are not tried again.
The batch is paused as well, as in the original: `manage batch go` lets it go
on. Of the original's signals 0 only pauses the batch, 3 stops (--term), 9 kills
(--kill), and 20 pauses it with its tasks (--pause).")]
pub struct StopArgs {
    #[command(flatten)]
    batches: SomeBatches,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    consent: Consent,
}

/// How the original says it.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
struct How {
    /// The signal of the original: 0, 3, 9 or 20
    #[arg(short = 'N', long, value_name = "NUMBER", value_parser = ["0", "3", "9", "20"], hide_possible_values = true)]
    signal: Option<String>,
    /// Stop with SIGTERM, as without any of these
    #[arg(long)]
    term: bool,
    /// Kill with SIGKILL, as `manage batch kill`
    #[arg(long)]
    kill: bool,
    /// Suspend the commands, as `manage batch pause --tasks`
    #[arg(long)]
    pause: bool,
}

pub async fn cmd_stop(session: &Session, args: StopArgs) -> Result<(), CliError> {
    let names = args.batches.names();
    let how = &args.how;
    let with = match how.signal.as_deref() {
        _ if how.kill => return end(session, &names, args.consent, End::Kill).await,
        Some("9") => return end(session, &names, args.consent, End::Kill).await,
        Some("0") => WithTasks { tasks: false },
        Some("20") => WithTasks { tasks: true },
        _ if how.pause => WithTasks { tasks: true },
        _ => return end(session, &names, args.consent, End::Stop).await,
    };
    for name in names {
        pause(session, &name, with).await?;
    }
    Ok(())
}
