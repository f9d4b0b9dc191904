//! `scitq manage job list`.

use clap::Args;

use crate::api::hiring::JobView;
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::ListOptions;
use crate::cli::manage::states;
use crate::cli::output::Paint;
use crate::cli::session::Session;
use crate::cli::table::{Cell, elastic, number, optional, text};
use crate::domain::job::JobState;

/// List jobs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage job list
  scitq manage job list --state failed --wide")]
pub struct ListArgs {
    /// Only jobs in these states, separated by commas
    #[arg(short = 'S', long, value_name = "STATE", value_delimiter = ',', value_parser = states::parser::<JobState>())]
    state: Vec<JobState>,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let mut jobs = session.client.list_jobs().await.map_err(|e| session.explain(e))?.jobs;
    jobs.retain(|job| args.state.is_empty() || args.state.contains(&job.state));
    args.options.print(&session.output, fields(), jobs)
}

fn fields() -> Vec<Field<JobView>> {
    vec![
        Field::new(number("ID"), |job: &JobView, _: &Moment| job.id.into())
            .sorted(|a, b| a.id.cmp(&b.id)),
        Field::new(text("ACTION"), |job: &JobView, _| job.action.into())
            .sorted(|a, b| a.action.to_string().cmp(&b.action.to_string())),
        Field::new(elastic("TARGET"), |job: &JobView, _| job.target.as_str().into())
            .sorted(|a, b| a.target.cmp(&b.target)),
        Field::new(text("STATE"), |job: &JobView, _| {
            Cell::painted(job.state.to_string(), paint(job.state))
        })
        .sorted(|a, b| a.state.cmp(&b.state)),
        Field::new(number("DONE"), |job: &JobView, _| {
            job.progress.map(|percent| format!("{percent}%")).unwrap_or_default().into()
        }),
        Field::new(number("AGE"), |job: &JobView, moment| {
            format::short_duration(moment.now.seconds_since(job.created_at)).into()
        })
        .sorted(|a, b| b.created_at.cmp(&a.created_at)),
        Field::new(optional(elastic("LOG")), |job: &JobView, _| {
            job.reason.as_deref().or(job.line.as_deref()).unwrap_or_default().into()
        }),
        Field::new(text("BATCH"), |job: &JobView, _| job.batch.as_str().into()).wide(),
        Field::new(text("FLAVOR"), |job: &JobView, _| job.flavor.as_str().into()).wide(),
        Field::new(text("REGION"), |job: &JobView, _| job.region.as_str().into()).wide(),
        Field::new(text("PROVIDER"), |job: &JobView, _| job.provider.as_str().into()).wide(),
        Field::new(number("TRIES"), |job: &JobView, _| job.tries_left.into()).wide(),
        Field::new(text("BY"), |job: &JobView, _| job.created_by.as_str().into()).wide(),
    ]
}

pub const fn paint(state: JobState) -> Paint {
    match state {
        JobState::Pending => Paint::Faint,
        JobState::Running => Paint::Active,
        JobState::Succeeded => Paint::Good,
        JobState::Failed => Paint::Bad,
    }
}
