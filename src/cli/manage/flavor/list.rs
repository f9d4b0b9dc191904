//! `scitq manage flavor list`.

use clap::Args;

use crate::api::hiring::{FlavorView, ListFlavors};
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::manage::options::ListOptions;
use crate::cli::session::Session;
use crate::cli::table::{elastic, number, optional, text};

/// List flavors, in the order in which they are taken
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage flavor list
  scitq manage flavor list 'auto:cpu>=8:ram>=30' --provider ovh
  scitq manage flavor list --min-cpu 8 --min-ram 30

Without a filter all are listed. A filter leaves out bare metal and what is
taken away more often than 5 of 100 an hour, unless it names tags or eviction.")]
pub struct ListArgs {
    /// A flavor's name, or a protofilter
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// Only of this provider
    #[arg(short = 'P', long)]
    provider: Option<String>,
    /// Only in this region
    #[arg(short, long)]
    region: Option<String>,
    /// With so many cores at least
    #[arg(long, value_name = "CORES")]
    min_cpu: Option<u32>,
    /// With so much memory at least, GiB
    #[arg(long, value_name = "GIB")]
    min_ram: Option<f64>,
    /// With so much disk at least, GiB
    #[arg(long, value_name = "GIB")]
    min_disk: Option<f64>,
    /// Taken away so often at most, percent an hour
    #[arg(long, value_name = "PERCENT")]
    max_eviction: Option<f64>,
    /// More conditions: cpu>=8:tags#G
    #[arg(long, value_name = "CONDITIONS")]
    protofilters: Option<String>,
    #[command(flatten)]
    options: ListOptions,
}

pub async fn cmd_list(session: &Session, args: ListArgs) -> Result<(), CliError> {
    let query = ListFlavors {
        flavor: filter(&args)?,
        provider: args.provider.clone(),
        region: args.region.clone(),
        limit: None,
    };
    let list = session.client.list_flavors(&query).await.map_err(|e| session.explain(e))?;
    args.options.print(&session.output, fields(), list.flavors)?;
    if let Some(why) = list.why_none {
        session.output.voice().warning(why);
    }
    Ok(())
}

/// One filter of all that was said.
fn filter(args: &ListArgs) -> Result<Option<String>, CliError> {
    let conditions = [
        args.min_cpu.map(|cores| format!("cpu>={cores}")),
        args.min_ram.map(|ram| format!("ram>={ram}")),
        args.min_disk.map(|disk| format!("disk>={disk}")),
        args.max_eviction.map(|eviction| format!("eviction<={eviction}")),
        args.protofilters.clone(),
    ];
    let more: Vec<String> = conditions.into_iter().flatten().collect();
    let begin = match &args.filter {
        None if more.is_empty() => return Ok(None),
        None => "auto".to_owned(),
        Some(filter) => filter.clone(),
    };
    if !more.is_empty() && begin != "auto" && !begin.starts_with("auto:") {
        return Err(CliError::usage(format!("conditions do not go with the name `{begin}`"))
            .hint("name the flavor alone, or begin a filter with `auto`"));
    }
    Ok(Some([vec![begin], more].concat().join(":")))
}

fn fields() -> Vec<Field<FlavorView>> {
    vec![
        Field::new(elastic("NAME"), |view: &FlavorView, _: &Moment| {
            view.flavor.name.as_str().into()
        })
        .sorted(|a, b| a.flavor.name.cmp(&b.flavor.name)),
        Field::new(text("PROVIDER"), |view: &FlavorView, _| view.flavor.provider.as_str().into())
            .sorted(|a, b| a.flavor.provider.cmp(&b.flavor.provider)),
        Field::new(text("REGION"), |view: &FlavorView, _| view.flavor.region.as_str().into())
            .sorted(|a, b| a.flavor.region.cmp(&b.flavor.region)),
        Field::new(number("CPU"), |view: &FlavorView, _| view.flavor.cpu.into())
            .sorted(|a, b| a.flavor.cpu.cmp(&b.flavor.cpu)),
        Field::new(number("RAM"), |view: &FlavorView, _| amount(view.flavor.ram).into())
            .sorted(|a, b| by_number(a.flavor.ram, b.flavor.ram)),
        Field::new(text("TAGS"), |view: &FlavorView, _| view.flavor.tags.as_str().into()),
        Field::new(optional(text("GPU")), |view: &FlavorView, _| {
            view.flavor.gpu.as_deref().unwrap_or_default().into()
        }),
        Field::new(optional(number("GPUMEM")), |view: &FlavorView, _| {
            amount(view.flavor.gpu_memory).into()
        }),
        Field::new(number("DISK"), |view: &FlavorView, _| amount(view.flavor.disk).into())
            .sorted(|a, b| by_number(a.flavor.disk, b.flavor.disk)),
        Field::new(number("COST"), |view: &FlavorView, _| {
            let cost = amount(view.flavor.cost);
            format!("{cost} {}", view.flavor.currency).trim().to_owned().into()
        })
        .sorted(|a, b| by_number(a.flavor.cost, b.flavor.cost)),
        Field::new(number("EVICTION"), |view: &FlavorView, _| amount(view.flavor.eviction).into())
            .sorted(|a, b| by_number(a.flavor.eviction, b.flavor.eviction)),
        Field::new(number("AVAILABLE"), |view: &FlavorView, _| {
            view.available.map(|count| count.to_string()).unwrap_or_default().into()
        }),
    ]
}

fn amount(number: Option<f64>) -> String {
    number.map(|number| format!("{number}")).unwrap_or_default()
}

fn by_number(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY))
}
