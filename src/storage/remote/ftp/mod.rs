//! FTP: a small client of our own, since the one that `opendal` uses brings a
//! second library for dates along. Without TLS: `rclone` serves that.

mod connection;
mod listing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use self::connection::{Connection, timed_out};
use super::error::{RemoteError, RemoteErrorKind, Result};
use super::item::{Item, ItemKind, RemoteFile};
use super::net::STALL_LIMIT;
use super::source::Source;

pub(super) use self::connection::FtpLogin;

const PIECE: usize = 256 << 10;

/// How long a server may take to write an upload to its disk.
const CLOSE_LIMIT: Duration = Duration::from_mins(10);

/// A server, and its connections that are free at the moment.
#[derive(Debug, Clone)]
pub(super) struct FtpRemote {
    login: Arc<FtpLogin>,
    free: Arc<Mutex<Vec<Connection>>>,
}

impl FtpRemote {
    pub(super) fn new(login: FtpLogin) -> Self {
        Self { login: Arc::new(login), free: Arc::default() }
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Item>> {
        if path.is_empty() {
            return Ok(Some(Item::folder("")));
        }
        let mut connection = self.connect().await?;
        let file = stat_file(&mut connection, path).await?;
        let found = match file {
            Some(file) => Some(Item::file(path, file)),
            None if connection.ask_of("CWD", path).await?.code == 250 => Some(Item::folder(path)),
            None => None,
        };
        self.give_back(connection);
        Ok(found)
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Item>> {
        let mut connection = self.connect().await?;
        let entered = connection.ask_of("CWD", folder).await?;
        if let Err(error) = entered.expect(2) {
            self.give_back(connection);
            return Err(RemoteError { kind: missing_or(error.kind), ..error });
        }
        let items = if connection.has_mlsd {
            listing::parse_mlsd(folder, &connection.ask_for_text("MLSD", "").await?)
        } else {
            let text = connection.ask_for_text("LIST", "-a").await?;
            let listed = listing::parse_list(folder, &text).ok_or_else(|| {
                RemoteError::unsupported("the server's way to list a folder is not known")
            })?;
            look_closer(&mut connection, listed).await?
        };
        self.give_back(connection);
        Ok(items)
    }

    pub(super) async fn read(
        &self,
        path: &str,
        mut from: u64,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes>>)> {
        let mut connection = self.connect().await?;
        let data = connection.open_data().await?;
        if from > 0 && connection.ask("REST", &from.to_string()).await?.code / 100 != 3 {
            // A server that cannot start in the middle starts at the beginning.
            from = 0;
        }
        let answer = connection.ask_of("RETR", path).await?;
        answer.expect(1).map_err(|error| RemoteError { kind: missing_or(error.kind), ..error })?;
        let state = (data, Some(connection), self.clone());
        let pieces = stream::try_unfold(state, |(mut data, mut connection, this)| async move {
            let mut piece = BytesMut::with_capacity(PIECE);
            let read = timeout(STALL_LIMIT, data.read_buf(&mut piece)).await;
            match read.map_err(|_| timed_out())?.map_err(|error| RemoteError::of_io(&error))? {
                0 => {
                    // A transfer that was cut ends like a whole one; the answer tells.
                    if let Some(mut connection) = connection.take() {
                        connection.read_answer().await?.expect(2)?;
                        this.give_back(connection);
                    }
                    Ok(None)
                }
                _ => Ok(Some((piece.freeze(), (data, connection, this)))),
            }
        });
        Ok((from, pieces.boxed()))
    }

    pub(super) async fn write(
        &self,
        path: &str,
        source: &Source,
        on_progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let mut pieces = source.open().await?;
        let mut connection = self.connect().await?;
        let mut data = connection.open_data().await?;
        connection.ask_of("STOR", path).await?.expect(1)?;
        while let Some(piece) = pieces.next(1 << 20).await? {
            let sent = timeout(STALL_LIMIT, data.write_all(&piece)).await;
            sent.map_err(|_| timed_out())?.map_err(|error| RemoteError::of_io(&error))?;
            on_progress(u64::try_from(piece.len()).unwrap_or(0));
        }
        data.shutdown().await.map_err(|error| RemoteError::of_io(&error))?;
        drop(data);
        let answer = timeout(CLOSE_LIMIT, connection.read_answer()).await;
        answer.map_err(|_| timed_out())??.expect(2)?;
        self.give_back(connection);
        Ok(())
    }

    /// Renames; what has that name is replaced.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        let mut answer = rename_once(&mut connection, from, to).await?;
        if answer.is_err() {
            // Some servers do not replace.
            connection.ask_of("DELE", to).await?;
            answer = rename_once(&mut connection, from, to).await?;
        }
        self.give_back(connection);
        answer
    }

    /// Makes one folder, in a folder that is there.
    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        let made = connection.ask_of("MKD", path).await?;
        let there = connection.ask_of("CWD", path).await?;
        self.give_back(connection);
        if there.code == 250 { Ok(()) } else { made.expect(2) }
    }

    pub(super) async fn delete(&self, item: &Item) -> Result<()> {
        let mut connection = self.connect().await?;
        let order = if matches!(item.kind, ItemKind::Folder) { "RMD" } else { "DELE" };
        // Not from within what is removed.
        connection.ask("CWD", "/").await?;
        let answer = connection.ask_of(order, &item.path).await?;
        self.give_back(connection);
        answer.expect(2)
    }

    /// A free connection that still answers, or a new one.
    async fn connect(&self) -> Result<Connection> {
        loop {
            let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut connection) = free else { return Connection::open(&self.login).await };
            if connection.ask("NOOP", "").await.is_ok_and(|answer| answer.code / 100 == 2) {
                return Ok(connection);
            }
        }
    }

    fn give_back(&self, connection: Connection) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

async fn rename_once(connection: &mut Connection, from: &str, to: &str) -> Result<Result<()>> {
    connection.ask_of("RNFR", from).await?.expect(3)?;
    Ok(connection.ask_of("RNTO", to).await?.expect(2))
}

/// Adds the dates that a coarse list lacks, and finds out what links lead to.
async fn look_closer(connection: &mut Connection, listed: Vec<Item>) -> Result<Vec<Item>> {
    let mut items = Vec::with_capacity(listed.len());
    for item in listed {
        if item.is_folder() {
            items.push(item);
        } else if let Some(file) = stat_file(connection, &item.path).await? {
            items.push(Item::file(&item.path, file));
        } else if connection.ask_of("CWD", &item.path).await?.code == 250 {
            items.push(Item::folder(&item.path));
        }
    }
    Ok(items)
}

async fn stat_file(connection: &mut Connection, path: &str) -> Result<Option<RemoteFile>> {
    let size = connection.ask_of("SIZE", path).await?;
    if size.code != 213 {
        return match size.expect(2) {
            Err(error) if error.kind == RemoteErrorKind::Temporary => Err(error),
            _ => Ok(None),
        };
    }
    let date = connection.ask_of("MDTM", path).await?;
    let modified = if date.code == 213 { listing::parse_time(date.text.trim()) } else { None };
    let bytes = size.text.trim().parse().ok();
    Ok(Some(RemoteFile { bytes, modified, tag: None, md5: None }))
}

/// Servers say "failed" to what is not there.
const fn missing_or(kind: RemoteErrorKind) -> RemoteErrorKind {
    match kind {
        RemoteErrorKind::Lasting => RemoteErrorKind::NotFound,
        kind => kind,
    }
}
