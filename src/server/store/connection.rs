//! How connections to the database are made: the only place that opens one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::functions::{Context as FunctionContext, FunctionFlags};
use rusqlite::{Connection, OpenFlags};

use crate::domain::filter::{Filter, Subject};
use crate::domain::task::Command;

/// How long a connection waits for a lock that another one holds for a moment.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The one connection that writes. `synchronous=FULL` in WAL mode syncs the
/// log at every commit: what is acknowledged survives a power cut.
/// Checkpoints are the writer's business, so none happens inside a commit.
pub(super) fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A connection that can only read, and on which `shown_command(spec)` is the
/// command of a task as lists show it, and `fits_words(filter, name, state,
/// batch, worker, spec)` whether a task fits a filter.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -4 * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("fits_words", 6, flags, fits_words)?;
    connection.create_scalar_function("shown_command", 1, flags, |context| {
        let spec = context.get_raw(0).as_str()?;
        // What is no specification shows no command.
        Ok(serde_json::from_str::<ShownCommand>(spec).ok().map(|spec| spec.command.to_string()))
    })?;
    Ok(connection)
}

/// Writes the database as the last commit left it to a new file. It is read as
/// any reader reads: no commit waits for it.
pub(super) fn copy(path: &Path, to: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(PATIENCE)?;
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map(drop)
}

/// Whether a task fits the filter in the first argument, which is read once for
/// a statement.
fn fits_words(context: &FunctionContext<'_>) -> rusqlite::Result<bool> {
    let filter: Arc<Filter> = context.get_or_create_aux(0, |words| {
        // It was checked when the request came.
        words.as_str().map(|words| Filter::parse(words).unwrap_or_default())
    })?;
    let text = |argument| context.get_raw(argument).as_str_or_null().map(Option::unwrap_or_default);
    let spec = text(5)?;
    // Only what looks at the command or at tags has to read all of it.
    let shown: Shown = if filter.needs_more_than_names() {
        serde_json::from_str(spec).unwrap_or_default()
    } else {
        Shown::default()
    };
    let command = shown.command.map(|command| command.to_string()).unwrap_or_default();
    let tags: Vec<(&str, &str)> =
        shown.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Ok(filter.fits(&Subject {
        name: text(1)?,
        state: text(2)?,
        batch: text(3)?,
        worker: text(4)?,
        text: &command,
        tags: &tags,
    }))
}

/// The part of a specification that a list shows.
#[derive(serde::Deserialize)]
struct ShownCommand {
    command: Command,
}

/// The part of it that a filter looks at.
#[derive(Default, serde::Deserialize)]
struct Shown {
    command: Option<Command>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}
