//! `scitq manage file tree`.

use std::path::Path;

use clap::Args;

use super::movement::{on_error, parse_place};
use crate::cli::error::CliError;
use crate::cli::format;
use crate::cli::output::{Output, Paint};
use crate::domain::uri::Uri;
use crate::storage::{self, Entry, EntryKind, Listing, Transfer};

/// Draw the folders and files that an address names
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage file tree s3://bucket/run1/
  scitq manage file tree sftp://host/data/ --depth 2

The size behind a folder is that of all files below it.")]
pub struct TreeArgs {
    /// Draw what is here
    #[arg(value_name = "URI", value_parser = parse_place)]
    place: Uri,
    /// Draw so many levels
    #[arg(short, long, value_name = "LEVELS", value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,
}

pub async fn cmd_tree(output: &Output, args: TreeArgs) -> Result<(), CliError> {
    let found = storage::list(&args.place, &Transfer::default()).await.map_err(on_error)?;
    let depth = args.depth.map_or(usize::MAX, |depth| usize::try_from(depth).unwrap_or(usize::MAX));
    for line in draw(&found, depth) {
        let Line { branch, name, is_folder, bytes } = line;
        let paint = if is_folder { Paint::Strong } else { Paint::Plain };
        let name = output.paint(format::visible(&name), paint);
        let size = bytes.map(|bytes| format!("  {}", format::bytes(bytes))).unwrap_or_default();
        output.line(format_args!("{branch}{name}{size}"))?;
    }
    let folders = found.entries().filter(|(_, entry)| entry.is_folder()).count();
    let folders = format::counted(folders as u64, "folder", "folders");
    let files = format::counted(found.file_count(), "file", "files");
    output.status(format_args!("{folders}, {files}, {}", format::bytes(found.bytes())));
    Ok(())
}

/// One line of the drawing.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    branch: String,
    name: String,
    is_folder: bool,
    /// None where the storage does not tell.
    bytes: Option<u64>,
}

fn draw(found: &Listing, depth: usize) -> Vec<Line> {
    let entries: Vec<(&Path, &Entry)> = found.entries().collect();
    let mut lines = Vec::new();
    draw_below(&entries, Path::new(""), "", depth, &mut lines);
    lines
}

fn draw_below(
    entries: &[(&Path, &Entry)],
    folder: &Path,
    indent: &str,
    depth: usize,
    lines: &mut Vec<Line>,
) {
    let children: Vec<&(&Path, &Entry)> =
        entries.iter().filter(|(name, _)| name.parent() == Some(folder)).collect();
    let last = children.len().saturating_sub(1);
    for (position, (name, entry)) in children.into_iter().enumerate() {
        let (knot, beam) =
            if position == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        // Names come in order, so that what is below a folder stands together.
        let below: Vec<(&Path, &Entry)> = match entry.kind {
            EntryKind::Folder => {
                entries.iter().filter(|(other, _)| other.starts_with(name)).copied().collect()
            }
            EntryKind::File(_) => Vec::new(),
        };
        let text = name.file_name().unwrap_or_default().to_string_lossy();
        let slash = if entry.is_folder() { "/" } else { "" };
        lines.push(Line {
            branch: format!("{indent}{knot}"),
            name: format!("{text}{slash}"),
            is_folder: entry.is_folder(),
            bytes: size(entry, &below),
        });
        if depth > 1 {
            draw_below(&below, name, &format!("{indent}{beam}"), depth - 1, lines);
        }
    }
}

fn size(entry: &Entry, below: &[(&Path, &Entry)]) -> Option<u64> {
    let of_file = |entry: &Entry| match entry.kind {
        EntryKind::File(facts) => {
            entry.remote.as_ref().is_none_or(|told| told.has_size).then_some(facts.bytes)
        }
        EntryKind::Folder => Some(0),
    };
    if entry.is_folder() {
        below.iter().map(|(_, entry)| of_file(entry)).sum()
    } else {
        of_file(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn branches_lead_to_what_is_below() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("a/b/x", "123"), ("a/y", "4"), ("z", "")] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let uri: Uri = format!("file://{}/", folder.path().display()).parse().unwrap();
        let found = storage::list(&uri, &Transfer::default()).await.unwrap();
        let drawn = |depth| {
            let lines = draw(&found, depth).into_iter();
            let texts = lines.map(|line| {
                format!("{}{} {}", line.branch, line.name, line.bytes.unwrap_or_default())
            });
            texts.collect::<Vec<String>>()
        };
        assert_eq!(
            drawn(9),
            ["├── a/ 4", "│   ├── b/ 3", "│   │   └── x 3", "│   └── y 1", "└── z 0"]
        );
        assert_eq!(drawn(1), ["├── a/ 4", "└── z 0"]);
    }
}
