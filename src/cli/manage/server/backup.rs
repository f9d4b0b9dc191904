//! `scitq manage server backup`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::error::{CliError, ErrorKind};
use crate::cli::format;
use crate::cli::manage::file::{local_path, parse_place, send_folder};
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::site;
use crate::domain::uri::Uri;

/// Write a backup of the server to a file or to remote storage
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq manage server backup /backup/scitq-$(date +%F).tar
  scitq manage server backup s3://bucket/scitq/$(date +%F).tar

The server works on meanwhile. The archive has its database, all output, and the
certificate that it made for itself: keep it as you keep the data directory.
scitq serve --restore FILE --data DIR brings it back; what workers run by then
goes on, and nothing runs twice.")]
pub struct BackupArgs {
    /// The file to write, or its URI
    #[arg(value_name = "DESTINATION", value_parser = parse_place)]
    destination: Uri,
}

pub async fn cmd_backup(session: &Session, args: BackupArgs) -> Result<(), CliError> {
    let uri = &args.destination;
    if uri.is_folder() {
        return Err(CliError::usage(format!("`{uri}` is a folder"))
            .hint("name the file that the backup shall be"));
    }
    if let Some(path) = local_path(uri) {
        let size = fetch(session, &path).await?;
        told(session, size, &path.display().to_string());
        return Ok(());
    }
    // Remote storage takes a whole file: this one goes when it has been sent.
    let folder = std::env::temp_dir().join(format!("scitq-backup-{}", std::process::id()));
    let outcome = by_way_of(session, &folder, uri).await;
    // One that cannot be removed is named by its process and harms nobody.
    let _ = fs::remove_dir_all(&folder);
    let size = outcome?;
    told(session, size, &uri.to_string());
    Ok(())
}

async fn by_way_of(session: &Session, folder: &Path, uri: &Uri) -> Result<u64, CliError> {
    let made =
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(folder);
    made.map_err(|error| cannot("create", folder, &error))?;
    let text = uri.to_string();
    let (parent, name) = text.rsplit_once('/').unwrap_or_default();
    let parent: Uri = format!("{parent}/")
        .parse()
        .map_err(|_| CliError::usage(format!("`{uri}` names no file in a folder")))?;
    site::use_storage_settings();
    let size = fetch(session, &folder.join(name)).await?;
    send_folder(&session.output, folder, &parent).await?;
    Ok(size)
}

/// Writes the backup to a file that is there only when all of it is.
async fn fetch(session: &Session, path: &Path) -> Result<u64, CliError> {
    if path.exists() {
        return Err(CliError::refused(format!("`{}` is there already", path.display()))
            .hint("name another file: a backup replaces none"));
    }
    let draft = draft_of(path);
    let fetched = fetch_draft(session, &draft).await;
    let placed = fetched.and_then(|size| {
        place(&draft, path).map_err(|error| cannot("write", path, &error)).map(|()| size)
    });
    if placed.is_err() {
        // A part of a backup is of no use.
        let _ = fs::remove_file(&draft);
    }
    placed
}

async fn fetch_draft(session: &Session, draft: &Path) -> Result<u64, CliError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft);
    let mut file = opened.map_err(|error| cannot("create", draft, &error))?;
    let mut backup = session.client.back_up().await.map_err(|error| session.explain(error))?;
    let progress = Progress::new(session.output.voice());
    let mut size = 0;
    while let Some(piece) = backup.next().await.map_err(|error| session.explain(error))? {
        file.write_all(&piece).map_err(|error| cannot("write", draft, &error))?;
        size += piece.len() as u64;
        progress.tell_text(format::bytes(size));
    }
    progress.finish();
    file.sync_all().map_err(|error| cannot("write", draft, &error))?;
    Ok(size)
}

/// Gives the file its name, unless somebody else has taken it meanwhile.
fn place(draft: &Path, path: &Path) -> io::Result<()> {
    fs::hard_link(draft, path).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        // A file system without links.
        _ => fs::rename(draft, path),
    })?;
    // It may have gone by its new name.
    let _ = fs::remove_file(draft);
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".part-{}", std::process::id()));
    PathBuf::from(name)
}

fn told(session: &Session, size: u64, place: &str) {
    let size = format::bytes(size);
    session.output.status(format_args!("backup of {size} in {place}"));
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::new(ErrorKind::Refused, format!("cannot {action} `{}`", path.display()))
        .caused_by(error)
}
