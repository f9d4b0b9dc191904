//! `scitq manage provider list`.

use clap::Args;

use crate::api::hiring::ProviderView;
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::ListOptions;
use crate::cli::output::Paint;
use crate::cli::session::Session;
use crate::cli::table::{Cell, elastic, number, optional, text};
use crate::domain::flavor::RegionName;

/// List providers
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq manage provider list

Providers are set up on the server, in server.toml.")]
pub struct ListArgs {
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let list = session.client.list_providers().await.map_err(|e| session.explain(e))?;
    args.options.print(&session.output, fields(), list.providers)
}

fn fields() -> Vec<Field<ProviderView>> {
    vec![
        Field::new(elastic("NAME"), |provider: &ProviderView, _: &Moment| {
            provider.name.as_str().into()
        })
        .sorted(|a, b| a.name.cmp(&b.name)),
        Field::new(text("KIND"), |provider: &ProviderView, _| provider.kind.as_str().into()),
        Field::new(number("FLAVORS"), |provider: &ProviderView, _| provider.flavors.into()),
        Field::new(number("WORKERS"), |provider: &ProviderView, _| provider.workers.into()),
        Field::new(number("UNKNOWN"), |provider: &ProviderView, _| provider.orphans.len().into()),
        Field::new(text("ASKED"), |provider: &ProviderView, moment| {
            let ago = provider.refreshed_at.map(|at| moment.now.seconds_since(at));
            ago.map(format::short_duration).unwrap_or_default().into()
        }),
        Field::new(optional(elastic("ERROR")), |provider: &ProviderView, _| {
            let error = provider.error.as_deref().unwrap_or_default();
            Cell::painted(format::visible(error), Paint::Bad)
        }),
        Field::new(elastic("REGIONS"), |provider: &ProviderView, _| {
            let names: Vec<&str> = provider.regions.iter().map(RegionName::as_str).collect();
            names.join(",").into()
        })
        .wide(),
    ]
}
