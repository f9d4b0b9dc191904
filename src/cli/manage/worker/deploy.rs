//! `scitq manage worker deploy`.

use std::time::Duration;

use clap::Args;

use crate::api::hiring::{
    DeployWorkers, DeployedWorkers, FlavorView, JobView, ListFlavors, MAX_NUMBER,
};
use crate::cli::ask::{self, Consent};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::domain::BatchName;
use crate::domain::job::JobState;

/// Time between two looks at the jobs.
const LOOK: Duration = Duration::from_millis(300);
/// More workers than this are asked about.
const MANY: u32 = 100;
/// Flavors that are offered to choose from.
const OFFERED: u32 = 30;

/// Hire workers from a provider of machines
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage worker deploy
  scitq manage worker deploy --flavor b2-30 --region GRA11 --provider ovh -b assembly
  scitq manage worker deploy --flavor 'auto:cpu>=8:ram>=30' --number 4 -C 2

Without --flavor, on a terminal, it asks. A filter takes the cheapest flavor
that fits and is available. Hired workers go when they have had nothing to do
for a while.")]
pub struct DeployArgs {
    /// A flavor's name, or a protofilter such as auto:cpu>=8
    #[arg(short, long)]
    flavor: Option<String>,
    /// In this region [default: any]
    #[arg(short, long)]
    region: Option<String>,
    /// Of this provider [default: any]
    #[arg(short = 'P', long)]
    provider: Option<String>,
    /// Put them into this batch [default: Default]
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Let each run so many commands at once
    #[arg(short = 'C', long, value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
    /// Let each take so many more tasks, to fetch their data ahead
    #[arg(short, long, value_name = "COUNT", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    prefetch: u32,
    /// Hire so many
    #[arg(short = 'N', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_NUMBER)))]
    number: Option<u32>,
    /// Do not wait until they work
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    consent: Consent,
}

pub async fn cmd_deploy(session: &Session, args: DeployArgs) -> Result<(), CliError> {
    let request = match &args.flavor {
        Some(flavor) => {
            let request = request(&args, flavor.clone());
            if request.number > MANY {
                let what = format!("hire {} workers", request.number);
                ask::confirm_by_typing(args.consent, &what, &request.number.to_string())?;
            }
            request
        }
        None if output::can_ask() => asked(session, &args).await?,
        None => {
            return Err(CliError::usage("no flavor is named")
                .hint("name one with --flavor; `scitq manage flavor list` shows what there is"));
        }
    };
    let deployed = session.client.deploy_workers(&request).await;
    let deployed = deployed.map_err(|e| session.explain(e))?;
    if args.json {
        session.output.json(&deployed)?;
    } else if !session.output.is_terminal() {
        deployed.workers.iter().try_for_each(|worker| session.output.line(worker))?;
    }
    session.output.flush()?;
    if args.no_wait {
        let count = format::counted(deployed.jobs.len() as u64, "worker", "workers");
        session.output.status(format_args!("hiring {count}; scitq manage job list"));
        return Ok(());
    }
    wait(session, &deployed).await
}

fn request(args: &DeployArgs, flavor: String) -> DeployWorkers {
    DeployWorkers {
        flavor,
        provider: args.provider.clone(),
        region: args.region.clone(),
        batch: args.batch.clone().unwrap_or_default(),
        concurrency: args.concurrency,
        prefetch: args.prefetch,
        number: args.number.unwrap_or(1),
    }
}

/// Asks for what was not said, and shows what it costs.
async fn asked(session: &Session, args: &DeployArgs) -> Result<DeployWorkers, CliError> {
    let query = ListFlavors {
        flavor: Some("auto".to_owned()),
        provider: args.provider.clone(),
        region: args.region.clone(),
        limit: Some(OFFERED),
    };
    let list = session.client.list_flavors(&query).await.map_err(|e| session.explain(e))?;
    if list.flavors.is_empty() {
        let why = list.why_none.unwrap_or_else(|| "no flavor is known".to_owned());
        return Err(CliError::refused(why));
    }
    let lines: Vec<String> = list.flavors.iter().map(describe).collect();
    let chosen = ask::choose("Which flavor", &lines)?;
    let Some(view) = list.flavors.get(chosen) else {
        return Err(CliError::refused("nothing was chosen"));
    };
    let number = match args.number {
        Some(number) => number,
        None => ask::input("How many", 1_u32)?,
    };
    let batch = match &args.batch {
        Some(batch) => batch.clone(),
        None => ask::input("For which batch", BatchName::default())?,
    };
    let flavor = &view.flavor;
    let request = DeployWorkers {
        provider: Some(flavor.provider.to_string()),
        region: Some(flavor.region.to_string()),
        batch,
        number,
        ..request(args, flavor.name.to_string())
    };
    let cost = flavor.cost.map_or_else(
        || "at a price that is not known".to_owned(),
        |cost| format!("for {:.3} {} an hour", cost * f64::from(number), flavor.currency),
    );
    let what = format!(
        "hire {} {} in {} of {} {cost}",
        number, flavor.name, flavor.region, flavor.provider
    );
    ask::confirm(args.consent, &what)?;
    Ok(request)
}

fn describe(view: &FlavorView) -> String {
    let flavor = &view.flavor;
    let ram = flavor.ram.map(|ram| format!(", {ram} GiB")).unwrap_or_default();
    let gpu = flavor.gpu.as_ref().map(|gpu| format!(", {gpu}")).unwrap_or_default();
    let cost = flavor.cost.map_or_else(
        || "no price".to_owned(),
        |cost| format!("{cost} {}/h", flavor.currency).replace(" /h", "/h"),
    );
    let left = view.available.map(|count| format!(", {count} left")).unwrap_or_default();
    format!(
        "{}  {} of {}: {} cores{ram}{gpu}, {cost}{left}",
        flavor.name, flavor.region, flavor.provider, flavor.cpu
    )
}

/// Follows the jobs until each has ended.
async fn wait(session: &Session, deployed: &DeployedWorkers) -> Result<(), CliError> {
    let line = Progress::new(session.output.voice());
    let ended = loop {
        let jobs = session.client.list_jobs().await.map_err(|e| session.explain(e))?.jobs;
        let ours: Vec<JobView> =
            jobs.into_iter().filter(|job| deployed.jobs.contains(&job.id)).collect();
        if ours.iter().all(|job| job.state.is_final()) {
            break ours;
        }
        line.tell_text(tell(&ours));
        tokio::time::sleep(LOOK).await;
    };
    line.finish();
    for job in ended.iter().filter(|job| job.state == JobState::Succeeded) {
        session.output.status(format_args!("worker {} works", job.target));
    }
    let failed: Vec<&JobView> = ended.iter().filter(|job| job.state == JobState::Failed).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let reason = first.reason.as_deref().unwrap_or("for an unknown reason");
            let others = match failed.len() {
                1 => String::new(),
                count => format!(" (and {} more)", count - 1),
            };
            Err(CliError::refused(format!("{} was not hired{others}: {reason}", first.target))
                .hint(format!("scitq manage job log {}", first.id)))
        }
    }
}

/// How far several jobs are, in one line.
fn tell(jobs: &[JobView]) -> String {
    let done = jobs.iter().filter(|job| job.state.is_final()).count();
    let busy = jobs.iter().find(|job| !job.state.is_final());
    let now = busy.map(|job| {
        let percent = job.progress.map(|percent| format!(" {percent} %")).unwrap_or_default();
        let line = job.line.as_deref().or(job.reason.as_deref()).unwrap_or_default();
        format!("{} {}{percent}: {}", job.action, job.target, format::visible(line))
    });
    format!("{done} of {}; {}", jobs.len(), now.unwrap_or_default())
}
