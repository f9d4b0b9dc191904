//! `scitq manage flavor import`.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use crate::api::hiring::{ImportFlavors, ImportedFlavor};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::session::Session;

/// Add prices, and flavors of places without an API, from a TOML or CSV file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage flavor import prices.csv
  scitq manage flavor import flavors.toml

A CSV file begins with the names of its columns: provider and name, and any of
region, cpu, ram, disk, gpu, gpu_memory, tags, cost, currency, eviction. A TOML
file has a table [[flavor]] with these keys for each. What was imported for the
same providers before is replaced.")]
pub struct ImportArgs {
    /// The file
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    flavor: Vec<ImportedFlavor>,
}

pub async fn cmd_import(session: &Session, args: ImportArgs) -> Result<(), CliError> {
    let path = args.file.display();
    let unreadable = || CliError::refused(format!("cannot read `{path}`"));
    let text = std::fs::read_to_string(&args.file).map_err(|e| unreadable().caused_by(&e))?;
    let is_csv = args.file.extension().is_some_and(|extension| extension == "csv");
    let flavors = if is_csv {
        read_csv(&text).map_err(|reason| CliError::refused(format!("`{path}`: {reason}")))?
    } else {
        toml::from_str::<File>(&text).map_err(|e| unreadable().caused_by(&e))?.flavor
    };
    if flavors.is_empty() {
        return Err(CliError::refused(format!("`{path}` has no flavor")));
    }
    let count = flavors.len() as u64;
    let imported = session.client.import_flavors(&ImportFlavors { flavors }).await;
    imported.map_err(|e| session.explain(e))?;
    session.output.status(format_args!("took in {}", format::counted(count, "line", "lines")));
    Ok(())
}

/// Reads lines whose values are in the order of the first one. No value has a comma.
fn read_csv(text: &str) -> Result<Vec<ImportedFlavor>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let Some((_, titles)) = lines.next() else { return Ok(Vec::new()) };
    let titles: Vec<&str> = titles.split(',').map(str::trim).collect();
    let mut flavors = Vec::new();
    for (number, line) in lines {
        let values: Vec<&str> = line.split(',').map(str::trim).collect();
        if values.len() != titles.len() {
            return Err(format!(
                "line {} has {} values, the first line {}",
                number + 1,
                values.len(),
                titles.len()
            ));
        }
        let pairs = titles.iter().zip(&values).filter(|(_, value)| !value.is_empty());
        let object: serde_json::Map<String, serde_json::Value> =
            pairs.map(|(title, value)| ((*title).to_owned(), typed(title, value))).collect();
        let flavor = serde_json::from_value(object.into());
        flavors.push(flavor.map_err(|error| format!("line {}: {error}", number + 1))?);
    }
    Ok(flavors)
}

/// A value as what its column takes.
fn typed(title: &str, value: &str) -> serde_json::Value {
    let is_number = matches!(title, "cpu" | "ram" | "disk" | "gpu_memory" | "cost" | "eviction");
    match value.parse::<serde_json::Number>() {
        Ok(number) if is_number => number.into(),
        _ => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_list_is_read_or_its_line_is_told() {
        let text =
            "provider, name, cost, currency\novh, b2-7, 0.07, EUR\n\novh, b2-15, 0.14, EUR\n";
        let flavors = read_csv(text).unwrap();
        assert_eq!((flavors.len(), flavors[1].cost), (2, Some(0.14)));
        let wrong = |text: &str| read_csv(text).unwrap_err();
        assert_eq!(wrong("provider,name\novh"), "line 2 has 1 values, the first line 2");
        assert!(wrong("provider,name,cost\novh,b2-7,dear").starts_with("line 2: invalid type"));
        assert!(wrong("provider,nme\novh,b2-7").starts_with("line 2: unknown field `nme`"));
    }
}
