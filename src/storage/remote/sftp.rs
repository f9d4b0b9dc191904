//! SFTP, through the `ssh` of this machine: its configuration, keys and agents
//! count as they do for a person.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use openssh::{KnownHosts, SessionBuilder};
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::TokioCompatFile;
use openssh_sftp_client::metadata::MetaData;
use openssh_sftp_client::{Error, Sftp, SftpOptions, UnixTimeStamp};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::error::{RemoteError, RemoteErrorKind, Result};
use super::item::{Item, ItemKind, RemoteFile};
use super::source::Source;

const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// `ssh` notices a dead connection after three of these.
const ALIVE_INTERVAL: Duration = Duration::from_secs(15);

const PIECE: usize = 256 << 10;

/// How to reach a server.
#[derive(Debug, Clone, Default)]
pub(super) struct SftpLogin {
    /// As `ssh` takes it: a host, or a name of its configuration.
    pub host: String,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub key_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
}

/// A server, and the one connection to it that all transfers share.
#[derive(Debug, Clone)]
pub(super) struct SftpRemote {
    login: Arc<SftpLogin>,
    connection: Arc<Mutex<Option<Arc<Sftp>>>>,
}

impl SftpRemote {
    pub(super) fn new(login: SftpLogin) -> Self {
        Self { login: Arc::new(login), connection: Arc::default() }
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Item>> {
        let sftp = self.connect().await?;
        match sftp.fs().metadata(full(path)).await {
            Ok(found) => Ok(Some(item_of(path, &found)?)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.on_error(error).await),
        }
    }

    /// What is in a folder, links followed. Links that lead nowhere are left out.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Item>> {
        let sftp = self.connect().await?;
        let mut fs = sftp.fs();
        let opened = match fs.open_dir(full(folder)).await {
            Ok(opened) => opened,
            Err(error) => return Err(self.on_error(error).await),
        };
        let mut items = Vec::new();
        let mut entries = std::pin::pin!(opened.read_dir());
        while let Some(entry) = entries.next().await {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Err(self.on_error(error).await),
            };
            let Some(name) = entry.filename().to_str() else {
                return Err(RemoteError::unsupported("a name in it is no UTF-8"));
            };
            if matches!(name, "." | "..") {
                continue;
            }
            let path = match folder {
                "" => name.to_owned(),
                folder => format!("{}/{name}", folder.trim_end_matches('/')),
            };
            let is_link = entry.file_type().is_none_or(|kind| kind.is_symlink());
            let item = if is_link {
                self.stat(&path).await
            } else {
                item_of(&path, &entry.metadata()).map(Some)
            };
            match item {
                Err(error) if error.kind == RemoteErrorKind::Unsupported => {
                    tracing::warn!(path, reason = error.message, "a file was left out");
                }
                item => items.extend(item?),
            }
        }
        Ok(items)
    }

    pub(super) async fn read(
        &self,
        path: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let sftp = self.connect().await?;
        let file = match sftp.open(full(path)).await {
            Ok(file) => file,
            Err(error) => return Err(self.on_error(error).await),
        };
        let mut file = Box::pin(TokioCompatFile::new(file));
        file.seek(std::io::SeekFrom::Start(from)).await.map_err(|error| of_stream(&error))?;
        let this = self.clone();
        // The connection must not close while it is read from.
        let pieces = stream::try_unfold((file, sftp, this), |(mut file, sftp, this)| async move {
            let mut piece = BytesMut::with_capacity(PIECE);
            match file.read_buf(&mut piece).await {
                Ok(0) => Ok(None),
                Ok(_) => Ok(Some((piece.freeze(), (file, sftp, this)))),
                Err(error) => {
                    this.disconnect().await;
                    Err(of_stream(&error))
                }
            }
        });
        Ok(pieces.boxed())
    }

    pub(super) async fn write(
        &self,
        path: &str,
        source: &Source,
        on_progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let sftp = self.connect().await?;
        let mut pieces = source.open().await?;
        let file = match sftp.create(full(path)).await {
            Ok(file) => file,
            Err(error) => return Err(self.on_error(error).await),
        };
        let mut file = Box::pin(TokioCompatFile::new(file));
        let sent = async {
            while let Some(piece) = pieces.next(1 << 20).await? {
                file.write_all(&piece).await.map_err(|error| of_stream(&error))?;
                on_progress(u64::try_from(piece.len()).unwrap_or(0));
            }
            file.flush().await.map_err(|error| of_stream(&error))?;
            file.shutdown().await.map_err(|error| of_stream(&error))
        }
        .await;
        if sent.as_ref().is_err_and(|error: &RemoteError| error.kind == RemoteErrorKind::Temporary)
        {
            self.disconnect().await;
        }
        sent
    }

    /// Renames; what has that name is replaced.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let sftp = self.connect().await?;
        let mut fs = sftp.fs();
        if !sftp.support_posix_rename() {
            match fs.remove_file(full(to)).await {
                Err(error) if !is_missing(&error) => return Err(self.on_error(error).await),
                _ => {}
            }
        }
        match fs.rename(full(from), full(to)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.on_error(error).await),
        }
    }

    /// Makes one folder, in a folder that is there.
    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        let sftp = self.connect().await?;
        let Err(error) = sftp.fs().create_dir(full(path)).await else { return Ok(()) };
        // The protocol's only word for "it is there" is "failure".
        match self.stat(path).await? {
            Some(item) if item.is_folder() => Ok(()),
            _ => Err(self.on_error(error).await),
        }
    }

    pub(super) async fn delete(&self, item: &Item) -> Result<()> {
        let sftp = self.connect().await?;
        let mut fs = sftp.fs();
        let path = full(&item.path);
        let deleted = match item.kind {
            ItemKind::Folder => fs.remove_dir(path).await,
            ItemKind::File(_) => fs.remove_file(path).await,
        };
        match deleted {
            Ok(()) => Ok(()),
            Err(error) => Err(self.on_error(error).await),
        }
    }

    async fn connect(&self) -> Result<Arc<Sftp>> {
        let mut connection = self.connection.lock().await;
        if let Some(sftp) = &*connection {
            return Ok(Arc::clone(sftp));
        }
        let login = &self.login;
        let mut builder = SessionBuilder::default();
        builder.known_hosts_check(KnownHosts::Add);
        builder.connect_timeout(CONNECT_LIMIT).server_alive_interval(ALIVE_INTERVAL);
        if let Some(user) = &login.user {
            builder.user(user.clone());
        }
        if let Some(port) = login.port {
            builder.port(port);
        }
        if let Some(key) = &login.key_file {
            builder.keyfile(key);
        }
        if let Some(known) = &login.known_hosts_file {
            builder.user_known_hosts_file(known);
        }
        let session = builder.connect(&login.host).await.map_err(|error| of_ssh(&error))?;
        let sftp = Sftp::from_session(session, SftpOptions::default()).await;
        let sftp = Arc::new(sftp.map_err(|error| of_sftp(&error))?);
        *connection = Some(Arc::clone(&sftp));
        Ok(sftp)
    }

    async fn disconnect(&self) {
        *self.connection.lock().await = None;
    }

    /// A connection that is no good is not used again.
    async fn on_error(&self, error: Error) -> RemoteError {
        if !matches!(error, Error::SftpError(..)) {
            self.disconnect().await;
        }
        of_sftp(&error)
    }
}

/// Paths without a slash at their front count from the folder after login.
fn full(path: &str) -> PathBuf {
    PathBuf::from(if path.is_empty() { "." } else { path })
}

fn item_of(path: &str, metadata: &MetaData) -> Result<Item> {
    let kind = metadata.file_type();
    if kind.is_some_and(|kind| kind.is_dir()) {
        return Ok(Item::folder(path));
    }
    if kind.is_some_and(|kind| !kind.is_file()) {
        return Err(RemoteError::unsupported("a FIFO, socket or device has no content"));
    }
    let modified = metadata.modified().map(UnixTimeStamp::as_system_time);
    Ok(Item::file(path, RemoteFile { bytes: metadata.len(), modified, tag: None, md5: None }))
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::SftpError(SftpErrorKind::NoSuchFile, _))
}

fn of_sftp(error: &Error) -> RemoteError {
    let kind = match error {
        Error::SftpError(kind, _) => match kind {
            SftpErrorKind::NoSuchFile => RemoteErrorKind::NotFound,
            SftpErrorKind::PermDenied => RemoteErrorKind::Denied,
            SftpErrorKind::OpUnsupported => RemoteErrorKind::Unsupported,
            _ => RemoteErrorKind::Lasting,
        },
        _ => RemoteErrorKind::Temporary,
    };
    RemoteError::new(kind, super::net::chain(error))
}

fn of_ssh(error: &openssh::Error) -> RemoteError {
    let message = super::net::chain(error);
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let kind = if says(&["Permission denied", "Host key verification failed"]) {
        RemoteErrorKind::Denied
    } else if says(&["refused", "timed out", "reset", "unreachable", "closed", "kex_exchange"]) {
        RemoteErrorKind::Temporary
    } else {
        RemoteErrorKind::Lasting
    };
    RemoteError::new(kind, message)
}

fn of_stream(error: &std::io::Error) -> RemoteError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.map_or_else(|| RemoteError::of_io(error), of_sftp)
}
