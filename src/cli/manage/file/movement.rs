//! What the verbs of `manage file` share: addresses as people type them, and
//! bytes that move.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::cli::error::{CliError, ErrorKind};
use crate::cli::format;
use crate::cli::output::{Output, Voice};
use crate::cli::parse;
use crate::cli::progress::Progress;
use crate::clock::SystemClock;
use crate::domain::Clock;
use crate::domain::execution::TransferProgress;
use crate::domain::uri::Uri;
use crate::storage::{self, Listing, Moved, Placement, RateLimit, StorageError, Transfer};

/// How often the line of progress changes.
const TICK: Duration = Duration::from_millis(200);

/// How fast data may move.
#[derive(Debug, Args)]
pub struct RateOptions {
    /// Move at most so many bytes in a second, as in 20M
    #[arg(long, value_name = "SIZE", value_parser = parse::size)]
    limit: Option<u64>,
}

impl RateOptions {
    /// The controls of what is about to move.
    pub fn transfer(&self) -> Transfer {
        let limit = self.limit.map(RateLimit::of).unwrap_or_default();
        Transfer { limit, ..Transfer::default() }
    }
}

/// An address as it is typed: a URI, or a path of this machine.
pub fn parse_place(text: &str) -> Result<Uri, String> {
    if text.contains("://") {
        return text.parse().map_err(|error| format!("{error}"));
    }
    let path = std::path::absolute(text).map_err(|error| error.to_string())?;
    let path = path.to_str().ok_or("it is no UTF-8")?;
    let slash =
        if (text.ends_with('/') || text.ends_with("/.") || text == ".") && !path.ends_with('/') {
            "/"
        } else {
            ""
        };
    format!("file://{path}{slash}").parse().map_err(|error| format!("{error}"))
}

/// The path of a local address; none for others.
pub fn local_path(uri: &Uri) -> Option<PathBuf> {
    (uri.protocol == "file").then(|| Path::new(&uri.path).to_owned())
}

pub fn on_error(error: StorageError) -> CliError {
    let told: Box<dyn std::error::Error> = Box::new(error);
    CliError::of(ErrorKind::Refused, told.as_ref())
}

/// Shows how a transfer gets on while it does.
pub async fn show<T>(
    output: &Output,
    transfer: &Transfer,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, CliError> {
    let progress = Progress::new(output.voice());
    let mut work = std::pin::pin!(work);
    let start = SystemClock.now().monotonic;
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(TICK) => {
                let seconds = SystemClock.now().monotonic.0.saturating_sub(start.0).as_secs_f64();
                let (bytes, total) = (transfer.progress.bytes(), transfer.progress.total());
                progress.tell_part(bytes, total, describe(bytes, total, seconds));
            }
        }
    };
    progress.finish();
    done.map_err(on_error)
}

/// Sends what is in a folder of this machine to a folder elsewhere.
pub async fn send_folder(output: &Output, folder: &Path, to: &Uri) -> Result<(), CliError> {
    storage::check_output(to).map_err(on_error)?;
    let transfer = Transfer::default();
    let work = storage::send(folder, to, &transfer);
    show(output, &transfer, Box::pin(work)).await.map(drop)
}

/// Says what was done, and what was left out.
pub fn tell(voice: Voice, verb: &str, moved: &Moved) {
    for note in &moved.notes {
        let path = note.path.display().to_string();
        voice.warning(format_args!("`{}` was left out: {}", format::visible(&path), note.reason));
    }
    let files = if moved.files == 1 { "file" } else { "files" };
    voice.status(format_args!("{verb} {} {files}, {}", moved.files, format::bytes(moved.bytes)));
}

/// Brings what was listed into a local folder, or by way of a folder of this
/// machine to another place.
pub async fn copy(listing: Listing, to: &Uri, transfer: &Transfer) -> Result<Moved, StorageError> {
    let source = listing.uri().clone();
    let listing = Arc::new(listing);
    if let Some(folder) = local_path(to)
        && !storage::has_actions(&source)
    {
        return storage::fetch(listing, &folder, Placement::Output, transfer).await;
    }
    if local_path(&source).is_some() && !storage::has_actions(&source) {
        return storage::send_listing(&listing, to, transfer).await;
    }
    let folder = std::env::temp_dir().join(format!("scitq-copy-{}", std::process::id()));
    let copied = copy_by_way_of(&folder, listing, to, transfer).await;
    // A copy that was cut is no longer of use.
    let _ = tokio::fs::remove_dir_all(&folder).await;
    copied
}

async fn copy_by_way_of(
    folder: &Path,
    listing: Arc<Listing>,
    to: &Uri,
    transfer: &Transfer,
) -> Result<Moved, StorageError> {
    let source = listing.uri().clone();
    let (raw, done) = (folder.join("raw"), folder.join("done"));
    storage::fetch(listing, &raw, Placement::Output, transfer).await?;
    if !storage::has_actions(&source) {
        return storage::send(&raw, to, transfer).await;
    }
    let steps = folder.join("steps");
    storage::act(&source, &raw, &steps, &done, Placement::Output, transfer).await?;
    storage::send(&done, to, transfer).await
}

fn describe(bytes: u64, total: u64, seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a figure for people"
    )]
    let bytes_per_second = (bytes as f64 / seconds.max(0.001)) as u64;
    format::transfer(TransferProgress { bytes, total, bytes_per_second })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_addresses() {
        assert_eq!(parse_place("/a/b").unwrap().to_string(), "file:///a/b");
        assert_eq!(parse_place("/a/b/").unwrap().to_string(), "file:///a/b/");
        assert!(parse_place("x/").unwrap().to_string().ends_with("/x/"));
        assert!(parse_place(".").unwrap().is_folder());
        assert_eq!(parse_place("s3://b/x").unwrap().to_string(), "s3://b/x");
        assert!(parse_place("s 3://b/x").is_err());
    }

    #[test]
    fn progress_has_a_rate_and_an_end() {
        assert_eq!(describe(0, 0, 0.0), "0 B of 0 B, 0 B/s");
        let text = describe(1 << 20, 3 << 20, 1.0);
        assert!(text.contains("/s, ") && text.ends_with("left"), "{text}");
    }
}
