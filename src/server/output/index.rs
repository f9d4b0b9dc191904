//! The index of the segments: all of its SQL.
//!
//! One connection writes, always with `synchronous=FULL`: what was committed
//! survives a power cut. Readers have connections of their own and do not hold
//! the writer up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, params};
use thiserror::Error;

use super::stream::{Extent, Hole, StreamRow};
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, Timestamp};

/// Format of the index.
const VERSION: i64 = 2;

/// `extents` has where the bytes are; `segments.live` how many bytes of a
/// segment extents name, `segments.known` the end of the last of them.
const SCHEMA: &str = "
    CREATE TABLE streams (
        execution INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        size INTEGER NOT NULL,
        hole_from INTEGER,
        hole_to INTEGER,
        PRIMARY KEY (execution, stream)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE extents (
        execution INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        length INTEGER NOT NULL,
        segment INTEGER NOT NULL,
        position INTEGER NOT NULL,
        at INTEGER,
        PRIMARY KEY (execution, stream, offset)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE segments (
        number INTEGER PRIMARY KEY,
        live INTEGER NOT NULL,
        known INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 2;
";

/// What version 2 brought: when the bytes came.
const TO_2: &str = "ALTER TABLE extents ADD COLUMN at INTEGER; PRAGMA user_version = 2;";

/// Why the index could not be used.
#[derive(Debug, Clone, Error)]
pub enum IndexError {
    #[error(
        "the output index `{path}` has format {found}; this program knows formats up to {VERSION}"
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("cannot {action} the output index `{path}`")]
    Failed {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: Arc<rusqlite::Error>,
    },
}

/// The index, for its only writer.
#[derive(Debug)]
pub(super) struct Index {
    connection: Connection,
    path: PathBuf,
}

/// Connections that only read.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// What the index is told of one stream.
#[derive(Debug)]
pub(super) struct StreamChange {
    pub execution: ExecutionId,
    pub stream: Stream,
    pub row: StreamRow,
    /// Whether extents that are in the hole have to go.
    pub hole_moved: bool,
    pub extents: Vec<Extent>,
}

/// What the index is told in one commit.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    pub streams: Vec<StreamChange>,
    pub deleted: &'a [ExecutionId],
    /// Segments that were written to since the commit before.
    pub written: &'a BTreeSet<u32>,
    /// The segment that is kept though it may have no live byte.
    pub current: Option<u32>,
}

/// What a commit did to the segments.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// Bytes that extents name now, over all segments.
    pub live: u64,
    /// Segments that no extent names any more.
    pub emptied: Vec<u32>,
}

/// Changes of the `segments` table within one commit.
type Deltas = BTreeMap<i64, Delta>;

#[derive(Debug, Default)]
struct Delta {
    live: i64,
    known: i64,
}

impl IndexError {
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Failed { source, .. } => source.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::Newer { .. } => false,
        }
    }

    fn failed(action: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Failed { action, path, source: Arc::new(source) }
    }
}

impl Index {
    /// Opens the index, or makes it.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let failed = || IndexError::failed("open", path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed())?;
        prepare(&connection).map_err(failed())?;
        let found: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed())?;
        if found > VERSION {
            return Err(IndexError::Newer { path: path.to_owned(), found });
        }
        if found < VERSION {
            let schema = format!("BEGIN; {} COMMIT;", if found == 0 { SCHEMA } else { TO_2 });
            connection.execute_batch(&schema).map_err(failed())?;
        }
        Ok(Self { connection, path: path.to_owned() })
    }

    /// The known end of each segment.
    pub fn list_known(&self) -> Result<BTreeMap<u32, u64>, IndexError> {
        let list = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare("SELECT number, known FROM segments")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, size(row, 1)?)))?;
            rows.collect()
        };
        list().map_err(IndexError::failed("read", &self.path))
    }

    /// The highest execution that has output, 0 when none has.
    pub fn highest_execution(&self) -> Result<u64, IndexError> {
        self.connection
            .query_row("SELECT coalesce(max(execution), 0) FROM streams", [], |row| size(row, 0))
            .map_err(IndexError::failed("read", &self.path))
    }

    /// Bytes that extents name, over all segments.
    pub fn live_bytes(&self) -> Result<u64, IndexError> {
        live_bytes(&self.connection).map_err(IndexError::failed("read", &self.path))
    }

    /// Records what was synced and forgets what was deleted, and with it the
    /// segments that are left without live bytes.
    pub fn commit(&mut self, changes: &Changes<'_>) -> Result<Committed, IndexError> {
        commit(&mut self.connection, changes).map_err(IndexError::failed("write to", &self.path))
    }

    /// Forgets the bytes of a segment from `length` on, and in each stream that
    /// had some of them all that follows. Answers how many streams that were.
    pub fn drop_missing(&mut self, segment: u32, length: u64) -> Result<usize, IndexError> {
        drop_missing(&mut self.connection, segment, length)
            .map_err(IndexError::failed("repair", &self.path))
    }
}

impl Readers {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// What is known of a stream.
    pub fn find_stream(
        &self,
        execution: ExecutionId,
        stream: Stream,
    ) -> Result<Option<StreamRow>, IndexError> {
        self.with(|connection| find_stream(connection, execution, stream))
    }

    /// The extents with bytes within `from..to`, in order.
    pub fn list_extents(
        &self,
        execution: ExecutionId,
        stream: Stream,
        from: u64,
        to: u64,
    ) -> Result<Vec<Extent>, IndexError> {
        self.with(|connection| list_extents(connection, execution, stream, from, to))
    }

    pub fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        let failed = || IndexError::failed("read", &self.path);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().map_err(failed())?,
        };
        let answer = read(&connection).map_err(failed())?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(answer)
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)
}

fn find_stream(
    connection: &Connection,
    execution: ExecutionId,
    stream: Stream,
) -> rusqlite::Result<Option<StreamRow>> {
    connection
        .prepare_cached(
            "SELECT size, hole_from, hole_to FROM streams WHERE execution = ?1 AND stream = ?2",
        )?
        .query_row(params![execution.to_sql(), stream_to_sql(stream)], stream_row)
        .optional()
}

fn list_extents(
    connection: &Connection,
    execution: ExecutionId,
    stream: Stream,
    from: u64,
    to: u64,
) -> rusqlite::Result<Vec<Extent>> {
    let mut statement = connection.prepare_cached(
        "SELECT offset, length, segment, position, at FROM extents
         WHERE execution = ?1 AND stream = ?2 AND offset < ?4 AND offset >= coalesce(
             (SELECT max(offset) FROM extents
              WHERE execution = ?1 AND stream = ?2 AND offset <= ?3), 0)
         ORDER BY offset",
    )?;
    let key = params![execution.to_sql(), stream_to_sql(stream), to_sql(from), to_sql(to)];
    let extents = statement.query_map(key, |row| {
        Ok(Extent {
            offset: size(row, 0)?,
            length: size(row, 1)?,
            segment: row.get(2)?,
            position: size(row, 3)?,
            at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        })
    })?;
    extents.collect()
}

fn live_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(sum(live), 0) FROM segments")?
        .query_row([], |row| size(row, 0))
}

fn commit(connection: &mut Connection, changes: &Changes<'_>) -> rusqlite::Result<Committed> {
    let transaction = connection.transaction()?;
    let mut deltas: Deltas =
        changes.written.iter().map(|number| (i64::from(*number), Delta::default())).collect();
    for change in &changes.streams {
        put_stream(&transaction, change.execution, change.stream, change.row)?;
        put_extents(&transaction, change, &mut deltas)?;
        if let (true, Some(hole)) = (change.hole_moved, change.row.hole) {
            drop_hole(&transaction, change.execution, change.stream, hole, &mut deltas)?;
        }
    }
    for execution in changes.deleted {
        drop_execution(&transaction, *execution, &mut deltas)?;
    }
    put_deltas(&transaction, &deltas)?;
    let emptied = transaction
        .prepare_cached(
            "DELETE FROM segments WHERE live = 0 AND number IS NOT ?1 RETURNING number",
        )?
        .query_map([changes.current], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let live = live_bytes(&transaction)?;
    transaction.commit()?;
    Ok(Committed { live, emptied })
}

fn put_stream(
    transaction: &Transaction<'_>,
    execution: ExecutionId,
    stream: Stream,
    row: StreamRow,
) -> rusqlite::Result<()> {
    let hole = row.hole;
    transaction
        .prepare_cached(
            "INSERT INTO streams (execution, stream, size, hole_from, hole_to)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (execution, stream) DO UPDATE SET
                 size = excluded.size, hole_from = excluded.hole_from, hole_to = excluded.hole_to",
        )?
        .execute(params![
            execution.to_sql(),
            stream_to_sql(stream),
            to_sql(row.size),
            hole.map(|hole| to_sql(hole.from)),
            hole.map(|hole| to_sql(hole.to)),
        ])?;
    Ok(())
}

fn put_extents(
    transaction: &Transaction<'_>,
    change: &StreamChange,
    deltas: &mut Deltas,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO extents (execution, stream, offset, length, segment, position, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for extent in &change.extents {
        statement.execute(params![
            change.execution.to_sql(),
            stream_to_sql(change.stream),
            to_sql(extent.offset),
            to_sql(extent.length),
            extent.segment,
            to_sql(extent.position),
            extent.at.map(|at| at.0),
        ])?;
        let delta = deltas.entry(i64::from(extent.segment)).or_default();
        delta.live += to_sql(extent.length);
        delta.known = delta.known.max(to_sql(extent.position + extent.length));
    }
    Ok(())
}

fn drop_hole(
    transaction: &Transaction<'_>,
    execution: ExecutionId,
    stream: Stream,
    hole: Hole,
    deltas: &mut Deltas,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM extents
         WHERE execution = ?1 AND stream = ?2 AND offset >= ?3 AND offset < ?4
             AND offset + length <= ?4
         RETURNING segment, length",
    )?;
    let key =
        params![execution.to_sql(), stream_to_sql(stream), to_sql(hole.from), to_sql(hole.to)];
    count_dropped(statement.query(key)?, deltas)
}

fn drop_execution(
    transaction: &Transaction<'_>,
    execution: ExecutionId,
    deltas: &mut Deltas,
) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare_cached("DELETE FROM extents WHERE execution = ?1 RETURNING segment, length")?;
    count_dropped(statement.query([execution.to_sql()])?, deltas)?;
    transaction
        .prepare_cached("DELETE FROM streams WHERE execution = ?1")?
        .execute([execution.to_sql()])?;
    Ok(())
}

/// Counts the rows `(segment, length)` of deleted extents.
fn count_dropped(mut rows: rusqlite::Rows<'_>, deltas: &mut Deltas) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        deltas.entry(row.get(0)?).or_default().live -= row.get::<_, i64>(1)?;
    }
    Ok(())
}

fn put_deltas(transaction: &Transaction<'_>, deltas: &Deltas) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO segments (number, live, known) VALUES (?1, ?2, ?3)
         ON CONFLICT (number) DO UPDATE SET
             live = live + excluded.live, known = max(known, excluded.known)",
    )?;
    for (segment, delta) in deltas {
        statement.execute(params![segment, delta.live, delta.known])?;
    }
    Ok(())
}

fn drop_missing(connection: &mut Connection, segment: u32, length: u64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    let torn: Vec<(ExecutionId, Stream, u64)> = transaction
        .prepare(
            "SELECT execution, stream, min(offset) FROM extents
             WHERE segment = ?1 AND position + length > ?2 GROUP BY execution, stream",
        )?
        .query_map(params![segment, to_sql(length)], |row| {
            Ok((ExecutionId::from_sql(row.get(0)?), stream_from_sql(row.get(1)?), size(row, 2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut deltas = Deltas::new();
    for &(execution, stream, offset) in &torn {
        let mut statement = transaction.prepare_cached(
            "DELETE FROM extents WHERE execution = ?1 AND stream = ?2 AND offset >= ?3
             RETURNING segment, length",
        )?;
        let key = params![execution.to_sql(), stream_to_sql(stream), to_sql(offset)];
        count_dropped(statement.query(key)?, &mut deltas)?;
        let row = find_stream(&transaction, execution, stream)?.unwrap_or_default();
        put_stream(&transaction, execution, stream, cut(row, offset))?;
    }
    put_deltas(&transaction, &deltas)?;
    transaction
        .prepare("UPDATE segments SET known = ?2 WHERE number = ?1")?
        .execute(params![segment, to_sql(length)])?;
    transaction.commit()?;
    Ok(torn.len())
}

/// The stream without the bytes from `offset` on. What the limit dropped counts
/// as there: nobody is asked for it again.
fn cut(row: StreamRow, offset: u64) -> StreamRow {
    match row.hole {
        Some(hole) if offset > hole.from => {
            StreamRow { size: offset.max(hole.to), hole: Some(hole) }
        }
        _ => StreamRow { size: offset, hole: None },
    }
}

fn stream_row(row: &Row<'_>) -> rusqlite::Result<StreamRow> {
    let hole = match (row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?) {
        (Some(from), Some(to)) => Some(Hole { from: from_sql(from), to: from_sql(to) }),
        _ => None,
    };
    Ok(StreamRow { size: size(row, 0)?, hole })
}

fn size(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(from_sql)
}

const fn stream_to_sql(stream: Stream) -> i64 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}

const fn stream_from_sql(value: i64) -> Stream {
    if value == 1 { Stream::Stdout } else { Stream::Stderr }
}

/// Sizes of files and streams stay below 2^63.
fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
