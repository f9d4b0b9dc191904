//! `scitq manage worker delete`.

use clap::Args;

use super::select::{self, SomeWorkers};
use crate::api::worker::WorkerView;
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::session::Session;
use crate::domain::worker::SeenState;

/// Delete workers, with machines that were hired; what runs on them goes to others
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker delete 3
  scitq manage worker delete --yes node7

An agent that still runs registers again; drain or stop it first.")]
pub struct DeleteArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_delete(session: &Session, args: DeleteArgs) -> Result<(), CliError> {
    let workers = args.workers.find(session).await?;
    ask::confirm(args.consent, &question(&workers))?;
    for worker in &workers {
        session.client.delete_worker(worker.id).await.map_err(|e| session.explain(e))?;
        match worker.hire {
            None => session.output.status(format_args!("worker {} deleted", worker.id)),
            Some(_) => session.output.status(format_args!(
                "worker {} goes; scitq manage job list shows how far that is",
                worker.id
            )),
        }
    }
    if let [worker] = live(&workers).as_slice() {
        session.output.voice().warning(format_args!(
            "the agent of {} still runs, and registers again unless it is stopped",
            worker.name
        ));
    }
    Ok(())
}

fn live(workers: &[WorkerView]) -> Vec<&WorkerView> {
    let is_live = |worker: &&WorkerView| worker.seen == SeenState::Online && worker.hire.is_none();
    workers.iter().filter(is_live).collect()
}

/// What a person should know before.
fn question(workers: &[WorkerView]) -> String {
    let (one, held): (u32, u32) = workers
        .iter()
        .map(|worker| (worker.running, worker.running + worker.accepted + worker.assigned))
        .fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let mut question = format!("delete {}", select::describe(workers));
    if held > 0 {
        let executions = format::counted(held.into(), "execution", "executions");
        let holds = if workers.len() == 1 { "holds" } else { "hold" };
        question = format!("{question}, which {holds} {executions} ({one} running)");
    }
    let hired = workers.iter().filter(|worker| worker.hire.is_some()).count();
    if hired > 0 {
        let machines = format::counted(hired as u64, "hired machine", "hired machines");
        question = format!("{question}, and destroy {machines}");
    }
    match live(workers).len() {
        0 => question,
        1 => format!("{question}, although an agent is live and registers again"),
        several => format!("{question}, although {several} agents are live and register again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::worker;

    #[test]
    fn the_question_tells_what_is_lost_and_what_comes_back() {
        let gone = WorkerView { seen: SeenState::Offline, ..worker(1) };
        assert_eq!(question(std::slice::from_ref(&gone)), "delete worker 1 (worker-1)");
        let busy = WorkerView { running: 1, assigned: 1, ..worker(2) };
        assert_eq!(
            question(&[gone, busy]),
            "delete workers 1 (worker-1), 2 (worker-2), which hold 2 executions (1 running), \
             although an agent is live and registers again"
        );
    }
}
