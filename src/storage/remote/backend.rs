//! One remote, whatever its protocol.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::error::{RemoteError, Result};
use super::ftp::FtpRemote;
use super::http::HttpRemote;
use super::item::{Depth, Item, RemoteFile};
use super::object::ObjectRemote;
use super::rclone::RcloneRemote;
use super::retry::Patience;
use super::run::RunRemote;
use super::sftp::SftpRemote;
use super::source::Source;
use super::webdav::WebdavRemote;

/// A remote that is ready to be used. Clones share its connections.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Remote {
    pub(super) backend: Backend,
    /// What must not be seen in errors.
    pub(super) secrets: Arc<Vec<String>>,
    pub(super) patience: Patience,
}

#[derive(Debug, Clone)]
pub(super) enum Backend {
    Object(ObjectRemote),
    Http(HttpRemote),
    Webdav(WebdavRemote),
    Ftp(FtpRemote),
    Sftp(SftpRemote),
    Rclone(RcloneRemote),
    Run(RunRemote),
}

/// Content from a certain byte on.
pub(super) struct Content {
    pub from: u64,
    pub pieces: BoxStream<'static, Result<Bytes>>,
}

const NO_FOLDERS: &str =
    "HTTP has no folders to list: name single files, or install `rclone` on this machine";
const NO_PATHS: &str = "a sequencing run has no paths";
const NO_CHANGES: &str = "an archive of sequencing runs can only be read";
const NO_WRITING: &str = "nothing can be written over HTTP";

impl Remote {
    /// What is there under this path, if anything.
    pub(super) async fn stat(&self, path: &str) -> Result<Option<Item>> {
        self.patiently(|| async {
            match &self.backend {
                Backend::Object(remote) => remote.stat(path).await,
                Backend::Http(remote) => remote.stat(path).await,
                Backend::Webdav(remote) => remote.stat(path).await,
                Backend::Ftp(remote) => remote.stat(path).await,
                Backend::Sftp(remote) => remote.stat(path).await,
                Backend::Rclone(remote) => remote.stat(path).await,
                Backend::Run(_) => Err(RemoteError::unsupported(NO_PATHS)),
            }
        })
        .await
    }

    /// What is in a folder, with full paths. Object storage does not tell a
    /// folder that is not there from an empty one.
    pub(super) async fn list(&self, folder: &str, depth: Depth) -> Result<Vec<Item>> {
        let is_at_once = matches!(self.backend, Backend::Object(_) | Backend::Rclone(_));
        let mut items = self.list_once(folder, depth).await?;
        if depth == Depth::One || is_at_once {
            return Ok(items);
        }
        let folders = |items: &[Item]| -> Vec<String> {
            items.iter().filter(|item| item.is_folder()).map(|item| item.path.clone()).collect()
        };
        let mut pending = folders(&items);
        while let Some(folder) = pending.pop() {
            let below = self.list_once(&folder, Depth::One).await?;
            pending.extend(folders(&below));
            items.extend(below);
        }
        Ok(items)
    }

    /// The content of a file from a byte on, or from an earlier one.
    pub(super) async fn read(&self, path: &str, from: u64, file: &RemoteFile) -> Result<Content> {
        let told = |pieces| Content { from, pieces };
        let content = match &self.backend {
            Backend::Object(remote) => remote.read(path, from, file).await.map(told),
            Backend::Ftp(remote) => {
                let content = remote.read(path, from).await;
                content.map(|(from, pieces)| Content { from, pieces })
            }
            Backend::Sftp(remote) => remote.read(path, from).await.map(told),
            Backend::Rclone(remote) => remote.read(path, from).map(told),
            Backend::Http(remote) => {
                let content = remote.read(path, from, file).await;
                content.map(|(from, pieces)| Content { from, pieces })
            }
            Backend::Run(remote) => {
                let content = remote.read(path, from, file).await;
                content.map(|(from, pieces)| Content { from, pieces })
            }
            Backend::Webdav(remote) => {
                let content = remote.read(path, from, file).await;
                content.map(|(from, pieces)| Content { from, pieces })
            }
        };
        content.map_err(|error| self.clean(error))
    }

    /// Writes a file, once. Nobody sees it half where `is_atomic`, and nobody
    /// takes what is half there for whole elsewhere: see [`super::send`].
    pub(super) async fn write(
        &self,
        path: &str,
        source: &Source,
        on_progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let written = match &self.backend {
            Backend::Object(remote) => remote.write(path, source, on_progress).await,
            Backend::Http(_) => Err(RemoteError::unsupported(NO_WRITING)),
            Backend::Run(_) => Err(RemoteError::unsupported(NO_CHANGES)),
            Backend::Ftp(remote) => remote.write(path, source, on_progress).await,
            Backend::Sftp(remote) => remote.write(path, source, on_progress).await,
            Backend::Webdav(remote) => {
                remote.write(path, source).await.inspect(|()| on_progress(source.bytes))
            }
            Backend::Rclone(remote) => {
                remote.write(path, source).await.inspect(|()| on_progress(source.bytes))
            }
        };
        written.map_err(|error| self.clean(error))
    }

    /// Whether a file that is being written has its name only once it is whole.
    pub(super) const fn is_atomic(&self) -> bool {
        matches!(self.backend, Backend::Object(_) | Backend::Rclone(_))
    }

    /// Whether it tells sums of what it has.
    pub(super) const fn knows_sums(&self) -> bool {
        matches!(self.backend, Backend::Object(_) | Backend::Rclone(_))
    }

    /// Whether a file on it has the content of a local one.
    pub(super) async fn has_content_of(&self, file: &RemoteFile, source: &Source) -> Result<bool> {
        match (&self.backend, file.md5) {
            (Backend::Object(remote), _) => remote.has_content_of(file, source).await,
            (_, Some(sum)) => Ok(sum == source.md5().await?),
            _ => Ok(false),
        }
    }

    /// Whether a file may be written where no folder was made for it.
    pub(super) const fn makes_folders(&self) -> bool {
        matches!(self.backend, Backend::Object(_) | Backend::Rclone(_))
    }

    /// Whether anything can be written at all.
    pub(super) fn check_writable(&self) -> Result<()> {
        match &self.backend {
            Backend::Http(_) => Err(RemoteError::unsupported(NO_WRITING)),
            Backend::Run(_) => Err(RemoteError::unsupported(NO_CHANGES)),
            Backend::Rclone(remote) if remote.is_web() => Err(RemoteError::unsupported(NO_WRITING)),
            _ => Ok(()),
        }
    }

    /// Gives a file its final name, in the place of whatever has it.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let renamed = match &self.backend {
            Backend::Webdav(remote) => remote.rename(from, to).await,
            Backend::Ftp(remote) => remote.rename(from, to).await,
            Backend::Sftp(remote) => remote.rename(from, to).await,
            Backend::Object(_) | Backend::Http(_) | Backend::Rclone(_) | Backend::Run(_) => {
                Err(RemoteError::unsupported("nothing can be renamed"))
            }
        };
        renamed.map_err(|error| self.clean(error))
    }

    /// Makes a folder and those that lead to it; one that is there is well.
    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        if path.is_empty() || path == "/" {
            return Ok(());
        }
        if self.makes_folders() {
            return self.make_one(path).await;
        }
        if self.stat(path).await?.is_some_and(|item| item.is_folder()) {
            return Ok(());
        }
        let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        for parent in ends.filter_map(|at| path.get(..at)).collect::<Vec<_>>() {
            if !self.stat(parent).await?.is_some_and(|item| item.is_folder()) {
                self.make_one(parent).await?;
            }
        }
        self.make_one(path).await
    }

    /// Deletes one file, or one folder that is empty.
    pub(super) async fn delete(&self, item: &Item) -> Result<()> {
        self.patiently(|| async {
            match &self.backend {
                Backend::Object(remote) => remote.delete(item).await,
                Backend::Http(_) => Err(RemoteError::unsupported("HTTP cannot delete")),
                Backend::Run(_) => Err(RemoteError::unsupported(NO_CHANGES)),
                Backend::Webdav(remote) => remote.delete(item).await,
                Backend::Ftp(remote) => remote.delete(item).await,
                Backend::Sftp(remote) => remote.delete(item).await,
                Backend::Rclone(remote) => remote.delete(item).await,
            }
        })
        .await
    }

    /// The sequencing run that it is, if it is one.
    pub(in crate::storage) const fn as_run(&self) -> Option<&RunRemote> {
        match &self.backend {
            Backend::Run(run) => Some(run),
            _ => None,
        }
    }

    /// Whether names in it are those of a URL, and no patterns.
    pub(super) fn has_url_names(&self) -> bool {
        matches!(
            &self.backend,
            Backend::Http(HttpRemote { base: super::http::Base::Scheme(_), .. })
        )
    }

    /// Takes the secrets out of an error.
    pub(super) fn clean(&self, error: RemoteError) -> RemoteError {
        error.without(&self.secrets)
    }

    /// The same for those who do not know what an error is.
    pub(in crate::storage) fn cleaned(&self, error: RemoteError) -> RemoteError {
        self.clean(error)
    }

    pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T> {
        self.patience.run(attempt).await.map_err(|error| self.clean(error))
    }

    async fn list_once(&self, folder: &str, depth: Depth) -> Result<Vec<Item>> {
        self.patiently(|| async {
            match &self.backend {
                Backend::Object(remote) => remote.list(folder, depth).await,
                Backend::Http(_) => Err(RemoteError::unsupported(NO_FOLDERS)),
                Backend::Webdav(remote) => remote.list(folder).await,
                Backend::Ftp(remote) => remote.list(folder).await,
                Backend::Sftp(remote) => remote.list(folder).await,
                Backend::Rclone(remote) => remote.list(folder, depth).await,
                Backend::Run(_) => Err(RemoteError::unsupported(NO_PATHS)),
            }
        })
        .await
    }

    async fn make_one(&self, path: &str) -> Result<()> {
        self.patiently(|| async {
            match &self.backend {
                Backend::Object(remote) => remote.make_folder(path).await,
                Backend::Http(_) => Err(RemoteError::unsupported(NO_WRITING)),
                Backend::Run(_) => Err(RemoteError::unsupported(NO_CHANGES)),
                Backend::Webdav(remote) => remote.make_folder(path).await,
                Backend::Ftp(remote) => remote.make_folder(path).await,
                Backend::Sftp(remote) => remote.make_folder(path).await,
                Backend::Rclone(remote) => remote.make_folder(path).await,
            }
        })
        .await
    }
}
