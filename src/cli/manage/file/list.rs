//! `scitq manage file list`.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::movement::{on_error, parse_place};
use crate::cli::columns::{Field, Moment};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::manage::options::ListOptions;
use crate::cli::output::Output;
use crate::cli::table::{elastic, number, optional, text};
use crate::domain::uri::Uri;
use crate::storage::{self, Entry, EntryKind, Transfer};

/// List the files and folders that an address names
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage file list s3://bucket/run1/
  scitq manage file list 'ftp://host/pub/**/*.fq.gz' --json-lines | jq -r .name

A folder ends in a slash and is listed with all that is below it. A path without
`://` is one of this machine.")]
pub struct ListArgs {
    /// List what is here
    #[arg(value_name = "URI", value_parser = parse_place)]
    place: Uri,
    #[command(flatten)]
    options: ListOptions,
}

/// A file or folder, as it is printed.
#[derive(Debug, Serialize)]
struct FileView {
    name: String,
    folder: bool,
    /// Absent where the storage does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<String>,
}

pub async fn cmd_list(output: &Output, args: ListArgs) -> Result<(), CliError> {
    let found = storage::list(&args.place, &Transfer::default()).await.map_err(on_error)?;
    let files = found
        .entries()
        .map(|(name, entry)| view(name.to_string_lossy().into_owned(), entry))
        .collect();
    args.options.print(output, fields(), files)
}

fn fields() -> Vec<Field<FileView>> {
    vec![
        Field::new(number("SIZE"), |file: &FileView, _: &Moment| {
            file.bytes.map(format::bytes).unwrap_or_default().into()
        })
        .sorted(|a, b| a.bytes.cmp(&b.bytes)),
        Field::new(text("MODIFIED"), |file: &FileView, moment| {
            let micros = file.modified.map(|date| crate::domain::Timestamp(date.as_microsecond()));
            micros.map(|date| format::date(date, &moment.zone)).unwrap_or_default().into()
        })
        .sorted(|a, b| a.modified.cmp(&b.modified)),
        Field::new(optional(elastic("MD5")), |file: &FileView, _| {
            file.md5.clone().unwrap_or_default().into()
        }),
        Field::new(elastic("NAME"), |file: &FileView, _| file.name.as_str().into())
            .sorted(|a, b| a.name.cmp(&b.name)),
    ]
}

fn view(name: String, entry: &Entry) -> FileView {
    let EntryKind::File(facts) = entry.kind else {
        let name = format!("{name}/");
        return FileView { name, folder: true, bytes: None, modified: None, md5: None };
    };
    let remote = entry.remote.as_ref();
    // 1970 stands for a date that is not told.
    let has_date = remote.is_none() || facts.modified != std::time::UNIX_EPOCH;
    FileView {
        name,
        folder: false,
        bytes: remote.is_none_or(|remote| remote.has_size).then_some(facts.bytes),
        modified: Timestamp::try_from(facts.modified).ok().filter(|_| has_date),
        md5: remote.and_then(|remote| remote.md5).map(|sum| storage::hexadecimal(&sum)),
    }
}
