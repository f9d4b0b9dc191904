//! `scitq manage recruiter create` and `update`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::hire::Scope;
use crate::domain::recruiter::{Recruiter, Sizing};

/// Let a batch hire workers; a recruiter of the same rank is replaced
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage recruiter create -b assembly -f 'auto:cpu>=8' -P auto -r auto -C 2 -T 4
  scitq manage recruiter create -b assembly -n 2 -f b2-30 -C 2

The workers that are wanted are the pending tasks divided by --tasks-per-worker.
Idle workers of other batches are taken over first. Without --provider and
--region no machine is hired.")]
pub struct CreateArgs {
    /// For this batch
    #[arg(short, long)]
    batch: BatchName,
    /// With this rank: the first that can gets its turn first
    #[arg(short = 'n', long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    rank: u32,
    /// A flavor's name, or a protofilter such as auto:cpu>=8
    #[arg(short, long)]
    flavor: String,
    #[command(flatten)]
    settings: Settings,
}

/// Change what a recruiter does
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage recruiter update -b assembly -n 1 --maximum-workers 20

What is not named stays as it is.")]
pub struct UpdateArgs {
    /// Of this batch
    #[arg(short, long)]
    batch: BatchName,
    /// The one of this rank
    #[arg(short = 'n', long, default_value = "1")]
    rank: u32,
    /// A flavor's name, or a protofilter such as auto:cpu>=8
    #[arg(short, long)]
    flavor: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct Settings {
    /// In this region, or `auto`
    #[arg(short, long)]
    region: Option<String>,
    /// Of this provider, or `auto`
    #[arg(short = 'P', long)]
    provider: Option<String>,
    /// Let each worker run so many commands at once
    #[arg(short = 'C', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Let each worker run as many commands as get so many cores each
    #[arg(long, value_name = "CORES", conflicts_with = "concurrency", value_parser = clap::value_parser!(u32).range(1..))]
    cpu_per_task: Option<u32>,
    /// Let each worker run as many commands as get so much memory each, GiB
    #[arg(long, value_name = "GIB", conflicts_with = "concurrency")]
    mem_per_task: Option<f64>,
    /// Let each worker take so many more tasks, to fetch their data ahead
    #[arg(short, long, value_name = "COUNT")]
    prefetch: Option<u32>,
    /// Want one worker for so many pending tasks [default: as many as it runs at once]
    #[arg(short = 'T', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    tasks_per_worker: Option<u32>,
    /// Do nothing with fewer pending tasks
    #[arg(short = 'm', long, value_name = "COUNT")]
    minimum_tasks: Option<u32>,
    /// Hire no more with so many workers in the batch
    #[arg(short = 'W', long, value_name = "COUNT")]
    maximum_workers: Option<u32>,
}

impl Settings {
    fn sizing(&self) -> Option<Sizing> {
        match (self.concurrency, self.cpu_per_task, self.mem_per_task) {
            (Some(count), ..) => Some(Sizing::Workers(count)),
            (None, None, None) => None,
            (None, cpu, memory) => Some(Sizing::PerTask { cpu, memory }),
        }
    }

    fn applied(self, present: Recruiter) -> Recruiter {
        Recruiter {
            concurrency: self.sizing().unwrap_or(present.concurrency),
            flavor: present.flavor,
            provider: self.provider.or(present.provider),
            region: self.region.or(present.region),
            prefetch: self.prefetch.unwrap_or(present.prefetch),
            tasks_per_worker: self.tasks_per_worker.unwrap_or(present.tasks_per_worker),
            minimum_tasks: self.minimum_tasks.or(present.minimum_tasks),
            maximum_workers: self.maximum_workers.or(present.maximum_workers),
            scope: present.scope,
        }
    }
}

pub async fn cmd_create(session: &Session, args: CreateArgs) -> Result<(), CliError> {
    let CreateArgs { batch, rank, flavor, settings } = args;
    let concurrency = settings.sizing().unwrap_or_default();
    let tasks_per_worker = match concurrency {
        Sizing::Workers(count) => count,
        Sizing::PerTask { .. } => 1,
    };
    let plain = Recruiter {
        flavor,
        provider: None,
        region: None,
        concurrency,
        prefetch: 0,
        tasks_per_worker,
        minimum_tasks: None,
        maximum_workers: None,
        scope: Scope::Shared,
    };
    set(session, &batch, rank, &settings.applied(plain)).await
}

pub async fn cmd_update(session: &Session, args: UpdateArgs) -> Result<(), CliError> {
    let UpdateArgs { batch, rank, flavor, settings } = args;
    let list = session.client.list_recruiters().await.map_err(|e| session.explain(e))?;
    let present = list.recruiters.into_iter().find(|view| view.batch == batch && view.rank == rank);
    let Some(present) = present else {
        return Err(CliError::refused(format!("batch `{batch}` has no recruiter of rank {rank}"))
            .hint("`scitq manage recruiter list` shows what there is"));
    };
    let mut recruiter = settings.applied(present.recruiter);
    recruiter.flavor = flavor.unwrap_or(recruiter.flavor);
    set(session, &batch, rank, &recruiter).await
}

async fn set(
    session: &Session,
    batch: &BatchName,
    rank: u32,
    recruiter: &Recruiter,
) -> Result<(), CliError> {
    let set = session.client.set_recruiter(batch, rank, recruiter).await;
    let set = set.map_err(|e| session.explain(e))?;
    session.output.status(format_args!(
        "recruiter {rank} of batch {batch}: {}; scitq manage recruiter explain {batch}",
        set.recruiter.flavor
    ));
    Ok(())
}
