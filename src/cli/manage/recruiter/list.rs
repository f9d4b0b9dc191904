//! `scitq manage recruiter list`.

use clap::Args;

use crate::api::hiring::RecruiterView;
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::manage::options::ListOptions;
use crate::cli::session::Session;
use crate::cli::table::{elastic, number, text};
use crate::domain::BatchName;
use crate::domain::recruiter::Sizing;

/// List recruiters
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage recruiter list
  scitq manage recruiter list --batch assembly --wide")]
pub struct ListArgs {
    /// Only those of this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let list = session.client.list_recruiters().await.map_err(|e| session.explain(e))?;
    let mut recruiters = list.recruiters;
    recruiters.retain(|view| args.batch.as_ref().is_none_or(|batch| view.batch == *batch));
    args.options.print(&session.output, fields(), recruiters)
}

fn fields() -> Vec<Field<RecruiterView>> {
    vec![
        Field::new(elastic("BATCH"), |view: &RecruiterView, _: &Moment| view.batch.as_str().into())
            .sorted(|a, b| a.batch.cmp(&b.batch)),
        Field::new(number("RANK"), |view: &RecruiterView, _| view.rank.into())
            .sorted(|a, b| a.rank.cmp(&b.rank)),
        Field::new(elastic("FLAVOR"), |view: &RecruiterView, _| {
            view.recruiter.flavor.as_str().into()
        }),
        Field::new(text("REGION"), |view: &RecruiterView, _| {
            view.recruiter.region.as_deref().unwrap_or_default().into()
        }),
        Field::new(text("PROVIDER"), |view: &RecruiterView, _| {
            view.recruiter.provider.as_deref().unwrap_or_default().into()
        }),
        Field::new(text("CONCURRENCY"), |view: &RecruiterView, _| {
            sizing(view.recruiter.concurrency).into()
        }),
        Field::new(number("WORKERS"), |view: &RecruiterView, _| view.workers.into()),
        Field::new(number("PREFETCH"), |view: &RecruiterView, _| view.recruiter.prefetch.into())
            .wide(),
        Field::new(number("TASKS/WORKER"), |view: &RecruiterView, _| {
            view.recruiter.tasks_per_worker.into()
        })
        .wide(),
        Field::new(number("MINIMUM"), |view: &RecruiterView, _| {
            shown(view.recruiter.minimum_tasks).into()
        })
        .wide(),
        Field::new(number("MAXIMUM"), |view: &RecruiterView, _| {
            shown(view.recruiter.maximum_workers).into()
        })
        .wide(),
    ]
}

fn shown(number: Option<u32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// A number, or what each task gets.
pub fn sizing(sizing: Sizing) -> String {
    match sizing {
        Sizing::Workers(count) => count.to_string(),
        Sizing::PerTask { cpu, memory } => {
            let cpu = cpu.map(|cpu| format!("{cpu} cpu"));
            let memory = memory.map(|memory| format!("{memory} GiB"));
            let each: Vec<String> = cpu.into_iter().chain(memory).collect();
            format!("by {}", each.join(", "))
        }
    }
}
