//! `scitq manage worker adopt-orphans` and `abandon-orphans`.

use clap::Args;

use super::select::{WorkerRef, find_workers, parse_worker};
use crate::api::worker::{HandledOrphans, OrphanIds, WorkerView};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::parse::{self, IdList};
use crate::cli::session::Session;
use crate::domain::ExecutionId;

/// Take over executions that a worker holds and this server does not know
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker adopt-orphans 3
  scitq manage worker adopt-orphans node7 --execution 112,113

After a database was restored from a backup, agents hold executions that it has
never heard of. Those of its own past can be adopted: they go on, and their
outcome counts. `manage worker show` lists them.")]
pub struct AdoptArgs {
    #[command(flatten)]
    orphans: OrphanArgs,
}

/// End executions that a worker holds and this server does not know
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker abandon-orphans 3
  scitq manage worker abandon-orphans --yes node7 --execution 112

Their commands are killed and their files deleted. Be sure that no other server
waits for them. `manage worker show` lists them.")]
pub struct AbandonArgs {
    #[command(flatten)]
    orphans: OrphanArgs,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Args)]
struct OrphanArgs {
    /// The worker, by id or name
    #[arg(value_parser = parse_worker)]
    worker: WorkerRef,
    /// Only these executions, separated by commas [default: all]
    #[arg(short, long, value_name = "ID")]
    execution: Vec<IdList<ExecutionId>>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub async fn cmd_adopt(session: &Session, args: AdoptArgs) -> Result<(), CliError> {
    let args = args.orphans;
    let worker = args.worker(session).await?;
    let answer = session.client.adopt_orphans(worker.id, &args.ids()).await;
    args.tell(session, "adopted", &answer.map_err(|e| session.explain(e))?)
}

pub async fn cmd_abandon(session: &Session, args: AbandonArgs) -> Result<(), CliError> {
    let consent = args.consent;
    let args = args.orphans;
    let worker = args.worker(session).await?;
    let ids = args.ids();
    let count = if ids.executions.is_empty() { worker.orphans.len() } else { ids.executions.len() };
    let what = format::counted(count as u64, "execution", "executions");
    let whose = format!("worker {} ({})", worker.id, worker.name);
    ask::confirm(consent, &format!("end {what} that {whose} holds for another database"))?;
    let answer = session.client.abandon_orphans(worker.id, &ids).await;
    args.tell(session, "abandoned", &answer.map_err(|e| session.explain(e))?)
}

impl OrphanArgs {
    async fn worker(&self, session: &Session) -> Result<WorkerView, CliError> {
        let found = find_workers(session, std::slice::from_ref(&self.worker)).await?;
        found.into_iter().next().ok_or_else(|| CliError::refused("there is no such worker"))
    }

    fn ids(&self) -> OrphanIds {
        OrphanIds { executions: parse::flatten(&self.execution) }
    }

    fn tell(
        &self,
        session: &Session,
        done: &str,
        handled: &HandledOrphans,
    ) -> Result<(), CliError> {
        if self.json {
            session.output.json(handled)?;
        } else if session.output.is_terminal() {
            let count = format::counted(handled.done.len() as u64, "execution", "executions");
            session.output.status(format_args!("{count} {done}"));
        } else {
            handled.done.iter().try_for_each(|id| session.output.line(id))?;
        }
        for refused in &handled.refused {
            let reason = format::visible(&refused.reason);
            session
                .output
                .voice()
                .warning(format_args!("execution {} was not: {reason}", refused.execution));
        }
        match (handled.done.is_empty(), handled.refused.len()) {
            (true, 1..) => Err(CliError::refused(format!("no execution was {done}"))),
            _ => Ok(()),
        }
    }
}
