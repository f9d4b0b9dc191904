//! Brings one file here: into a file of another name first, which a later try
//! takes up, and checked before it gets its own name.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use md5::{Digest, Md5};
use sha2::Sha256;
use tokio::time::timeout;

use super::super::copy::{CopyFile, is_unfinished, unfinished_path};
use super::super::error::{StorageError, Subject};
use super::super::listing::{FileFacts, RemoteFacts, hexadecimal};
use super::super::transfer::{Placement, Transfer};
use super::backend::Remote;
use super::error::{RemoteError, RemoteErrorKind, Result};
use super::item::RemoteFile;
use super::net::STALL_LIMIT;

/// So much is collected before it is written.
const BATCH: usize = 1 << 20;

/// What stands between the name of an unfinished file and its end.
const VERSION_MARK: char = '+';

/// One file to bring.
#[derive(Debug, Clone)]
pub(super) struct Receive {
    pub uri: crate::domain::uri::Uri,
    /// Its path on the remote.
    pub path: String,
    pub facts: FileFacts,
    pub remote: RemoteFacts,
    pub target: PathBuf,
    pub placement: Placement,
}

/// The unfinished file, moved to threads that may block and back.
struct Sink {
    file: File,
    written: u64,
    /// None where the remote tells no sum.
    sum: Option<Md5>,
}

/// How a whole try at a file ended.
enum Outcome {
    Whole,
    WrongSum,
}

/// Removes what is left unfinished of other states of these files. Blocks.
pub(super) fn remove_outdated(jobs: &[Receive]) {
    let mut places: HashMap<PathBuf, HashMap<String, PathBuf>> = HashMap::new();
    for path in jobs.iter().map(Receive::unfinished) {
        let Some(stem) = stem_of(&path) else { continue };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        places.entry(folder).or_default().insert(stem, path);
    }
    for (folder, wanted) in places {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let own = stem_of(&path).and_then(|stem| wanted.get(&stem));
            if own.is_some_and(|own| *own != path) {
                // If it stays, it takes space and does no other harm.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// The name of an unfinished file without its end.
fn stem_of(path: &Path) -> Option<String> {
    let (stem, _) = path.file_name()?.to_str()?.rsplit_once(VERSION_MARK)?;
    is_unfinished(path).then(|| stem.to_owned())
}

/// Brings the file, with as many tries as the remote's patience allows.
pub(super) async fn receive(
    job: &Receive,
    remote: &Remote,
    transfer: &Transfer,
) -> std::result::Result<(), StorageError> {
    let subject = Subject(&job.uri);
    let failed = |error| StorageError::of_remote(subject, "fetch", &job.path, remote.clean(error));
    let there = job.clone();
    if blocking(move || Ok(there.copy().is_there_already()))
        .await
        .is_ok_and(|is_there| is_there && job.facts.modified != std::time::UNIX_EPOCH)
    {
        return Ok(());
    }
    for _ in 0..2 {
        let attempt = || receive_once(job, remote, transfer);
        match remote.patiently(attempt).await.map_err(failed)? {
            Outcome::Whole => return Ok(()),
            Outcome::WrongSum => {
                tracing::warn!(uri = %job.uri, path = job.path, "another checksum: fetching again");
            }
        }
    }
    Err(StorageError::Checksum { uri: subject.uri(), path: PathBuf::from(&job.path) })
}

async fn receive_once(job: &Receive, remote: &Remote, transfer: &Transfer) -> Result<Outcome> {
    let owned = job.clone();
    let mut sink = blocking(move || owned.open_unfinished()).await?;
    let listed = RemoteFile {
        bytes: job.remote.has_size.then_some(job.facts.bytes),
        modified: None,
        tag: job.remote.tag.as_deref().map(str::to_owned),
        md5: job.remote.md5,
    };
    let is_whole = job.remote.has_size && sink.written == job.facts.bytes;
    if !is_whole {
        let content = match remote.read(&job.path, sink.written, &listed).await {
            Err(error) if error.kind == RemoteErrorKind::Changed => {
                job.forget().await;
                return Err(error);
            }
            content => content?,
        };
        if content.from != sink.written {
            sink = blocking(move || sink.go_back(content.from)).await?;
        }
        let mut pieces = content.pieces;
        let mut batch = BytesMut::new();
        loop {
            let piece = timeout(STALL_LIMIT, pieces.next()).await;
            let piece = piece.map_err(|_| RemoteError::temporary("no data comes any more"))?;
            let is_end = piece.is_none();
            if let Some(piece) = piece {
                match piece {
                    Ok(piece) => {
                        let length = u64::try_from(piece.len()).unwrap_or(0);
                        transfer.limit.pass(length).await;
                        transfer.progress.add(length);
                        batch.extend_from_slice(&piece);
                    }
                    Err(error) => {
                        // What came is kept for the next try.
                        let last = batch.split().freeze();
                        blocking(move || sink.write(&last)).await?;
                        return Err(error);
                    }
                }
            }
            if is_end || batch.len() >= BATCH {
                let full: Bytes = batch.split().freeze();
                sink = blocking(move || sink.write(&full)).await?;
            }
            if job.remote.has_size && sink.written > job.facts.bytes {
                job.forget().await;
                return Err(RemoteError::changed());
            }
            if is_end {
                break;
            }
        }
        if job.remote.has_size && sink.written < job.facts.bytes {
            return Err(RemoteError::ended_early());
        }
    }
    let owned = job.clone();
    blocking(move || owned.finish(sink)).await
}

impl Receive {
    /// The same as a copy from one local file to another.
    fn copy(&self) -> CopyFile<'_> {
        CopyFile {
            subject: Subject(&self.uri),
            source: Path::new(&self.path),
            facts: self.facts,
            target: &self.target,
            placement: self.placement,
        }
    }

    /// Where the file is until it is whole. The end of the name tells of which
    /// state of the source it is: what is left of another one is of no use.
    fn unfinished(&self) -> PathBuf {
        let tag = self.remote.tag.as_deref().unwrap_or_default();
        let version = format!("{} {:?} {tag}", self.facts.bytes, self.facts.modified);
        let sum = hexadecimal(Sha256::digest(version).get(..4).unwrap_or_default());
        let mut path = unfinished_path(&self.copy()).into_os_string();
        path.push(format!("{VERSION_MARK}{sum}"));
        PathBuf::from(path)
    }

    /// What an earlier try brought, or an empty file. Blocks.
    fn open_unfinished(&self) -> io::Result<Sink> {
        let path = self.unfinished();
        let mode = self.copy().mode() | 0o200;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(mode);
        let mut file = options.open(&path)?;
        // Without a tag or a date, nothing tells whether the rest belongs to it.
        let can_be_taken_up = self.remote.has_size
            && (self.remote.tag.is_some() || self.facts.modified != std::time::UNIX_EPOCH)
            && file.metadata()?.len() <= self.facts.bytes;
        if !can_be_taken_up {
            file.set_len(0)?;
        }
        let mut sum = self.remote.md5.map(|_| Md5::new());
        let written = match &mut sum {
            Some(sum) => sum_up(&mut file, sum)?,
            None => file.seek(SeekFrom::End(0))?,
        };
        Ok(Sink { file, written, sum })
    }

    /// Gives the whole file its name. Blocks.
    fn finish(&self, sink: Sink) -> io::Result<Outcome> {
        let path = self.unfinished();
        if let (Some(sum), Some(expected)) = (sink.sum, self.remote.md5)
            && <[u8; 16]>::from(sum.finalize()) != expected
        {
            fs::remove_file(&path)?;
            return Ok(Outcome::WrongSum);
        }
        let finished = self.copy().finish(&sink.file);
        finished.map_err(|error| io::Error::other(super::net::chain(&error)))?;
        fs::rename(&path, &self.target)?;
        Ok(Outcome::Whole)
    }

    async fn forget(&self) {
        let path = self.unfinished();
        // If it stays, its length gives it away the next time.
        let _ = blocking(move || fs::remove_file(path)).await;
    }
}

impl Sink {
    /// Blocks.
    fn write(mut self, batch: &[u8]) -> io::Result<Self> {
        self.file.write_all(batch)?;
        if let Some(sum) = &mut self.sum {
            sum.update(batch);
        }
        self.written += u64::try_from(batch.len()).unwrap_or(0);
        Ok(self)
    }

    /// Keeps only the beginning. Blocks.
    fn go_back(mut self, to: u64) -> io::Result<Self> {
        self.file.set_len(to)?;
        self.file.seek(SeekFrom::Start(0))?;
        if let Some(sum) = &mut self.sum {
            *sum = Md5::new();
            sum_up(&mut self.file, sum)?;
        }
        self.written = self.file.seek(SeekFrom::End(0))?;
        Ok(self)
    }
}

fn sum_up(file: &mut File, sum: &mut Md5) -> io::Result<u64> {
    let mut buffer = vec![0; BATCH];
    let mut total = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(total);
        }
        sum.update(buffer.get(..count).unwrap_or_default());
        total += u64::try_from(count).unwrap_or(0);
    }
}

/// Runs on a thread that may block. A disk that is full now may not be later.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.kind() == io::ErrorKind::StorageFull => {
            Err(RemoteError::temporary(error.to_string()))
        }
        Ok(Err(error)) => Err(RemoteError::lasting(error.to_string())),
        Err(error) => Err(RemoteError::lasting(error.to_string())),
    }
}
