//! `scitq manage worker update`.

use std::str::FromStr;

use clap::Args;

use super::select::SomeWorkers;
use crate::api::worker::{UpdateWorker, WorkerView};
use crate::cli::error::CliError;
use crate::cli::manage::options::print_json;
use crate::cli::manage::states;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::worker::WantedState;

/// Change how workers work
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker update 3 --concurrency 8 --prefetch 2
  scitq manage worker update node7 node8 --concurrency +2 --prefetch -1
  scitq manage worker update 3,4,5 --batch assembly

With more concurrency a worker takes more at once; with less it ends nothing,
and takes nothing until it fits. With less prefetch it gives back what has not
been started. A worker that is moved finishes what it has taken.")]
pub struct UpdateArgs {
    #[command(flatten)]
    workers: SomeWorkers,
    #[command(flatten)]
    changes: Changes,
    /// Print the workers as JSON
    #[arg(long)]
    json: bool,
}

/// What is changed.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// Want them running, paused or draining
    #[arg(short = 'S', long, visible_alias = "status", value_name = "STATE", value_parser = states::parser::<WantedState>())]
    state: Option<WantedState>,
    /// Move them to this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Run so many commands at once, or so many more or fewer: 8, +2, -1
    #[arg(short = 'C', long, value_name = "COUNT", allow_hyphen_values = true)]
    concurrency: Option<Amount>,
    /// Hold so many more executions, to fetch their data ahead; also +2, -1
    #[arg(short, long, value_name = "COUNT", allow_hyphen_values = true)]
    prefetch: Option<Amount>,
}

/// A number, or a change of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Of(u32),
    More(u32),
    Less(u32),
}

/// In which form changed objects are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Sentences,
    Json,
}

impl From<bool> for Telling {
    /// By the flag `--json`.
    fn from(json: bool) -> Self {
        if json { Self::Json } else { Self::Sentences }
    }
}

pub async fn cmd_update(session: &Session, args: UpdateArgs) -> Result<(), CliError> {
    let mut changed = Vec::new();
    for worker in args.workers.find(session).await? {
        let update = args.changes.of(&worker)?;
        let answer = session.client.update_worker(worker.id, &update).await;
        changed.push(answer.map_err(|e| session.explain(e))?);
    }
    tell(session, &changed, args.json.into())
}

/// Tells how workers are now.
pub fn tell(session: &Session, workers: &[WorkerView], telling: Telling) -> Result<(), CliError> {
    if telling == Telling::Json {
        return print_json(&session.output, workers);
    }
    if !session.output.is_terminal() {
        return workers.iter().try_for_each(|worker| session.output.line(worker.id));
    }
    for worker in workers {
        session.output.status(format_args!(
            "worker {} ({}): {}, batch {}, concurrency {}, prefetch {}",
            worker.id,
            worker.name,
            worker.wanted,
            worker.batch,
            worker.concurrency,
            worker.prefetch
        ));
    }
    Ok(())
}

impl Changes {
    /// The change of one worker.
    fn of(&self, worker: &WorkerView) -> Result<UpdateWorker, CliError> {
        let amount = |what: &str, wanted: Option<Amount>, present: u32| match wanted {
            None => Ok(None),
            Some(wanted) => wanted.applied(present).map(Some).ok_or_else(|| {
                CliError::refused(format!(
                    "worker {} ({}) has the {what} {present}, which cannot be changed by {wanted}",
                    worker.id, worker.name
                ))
            }),
        };
        Ok(UpdateWorker {
            batch: self.batch.clone(),
            concurrency: amount("concurrency", self.concurrency, worker.concurrency)?,
            prefetch: amount("prefetch", self.prefetch, worker.prefetch)?,
            wanted: self.state,
        })
    }
}

impl Amount {
    /// The number that it makes of this one; none where that is no number.
    const fn applied(self, present: u32) -> Option<u32> {
        match self {
            Self::Of(count) => Some(count),
            Self::More(count) => present.checked_add(count),
            Self::Less(count) => present.checked_sub(count),
        }
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            // A second sign is no part of a number.
            let is_number = text.chars().all(|c| c.is_ascii_digit());
            text.parse::<u32>()
                .ok()
                .filter(|_| is_number)
                .ok_or_else(|| "write a whole number, or +2 or -1".to_owned())
        };
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(more), _) => number(more).map(Self::More),
            (_, Some(less)) => number(less).map(Self::Less),
            _ => number(text).map(Self::Of),
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Of(count) => write!(f, "{count}"),
            Self::More(count) => write!(f, "+{count}"),
            Self::Less(count) => write!(f, "-{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::worker;

    #[test]
    fn an_amount_is_a_number_or_a_change() {
        assert_eq!("8".parse(), Ok(Amount::Of(8)));
        assert_eq!("+2".parse(), Ok(Amount::More(2)));
        assert_eq!("-1".parse(), Ok(Amount::Less(1)));
        assert!("--1".parse::<Amount>().is_err() && "".parse::<Amount>().is_err());
        let changes = Changes {
            state: None,
            batch: None,
            concurrency: Some(Amount::More(3)),
            prefetch: Some(Amount::Less(1)),
        };
        let three = WorkerView { prefetch: 3, ..worker(1) };
        let update = changes.of(&three).unwrap();
        assert_eq!((update.concurrency, update.prefetch), (Some(5), Some(2)));
        assert_eq!(
            changes.of(&worker(1)).unwrap_err().to_string(),
            "worker 1 (worker-1) has the prefetch 0, which cannot be changed by -1"
        );
    }
}
