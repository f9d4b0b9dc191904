//! Object storage: S3 and Azure blobs, by `opendal`.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use md5::{Digest, Md5};
use opendal::{EntryMode, ErrorKind, Metadata, Operator, options};

use super::super::listing::hexadecimal;
use super::error::{RemoteError, RemoteErrorKind, Result};
use super::item::{Depth, Item, RemoteFile, md5_of_base64, md5_of_digits};
use super::net::chain;
use super::source::Source;

/// Smallest part of a large object. S3 wants 5 MiB at least.
const PART: u64 = 8 << 20;

/// S3 takes 10,000 parts; a few are kept in reserve.
const MAX_PARTS: u64 = 9_000;

/// Parts of one object that are on their way at once.
const PARTS_AT_ONCE: usize = 3;

/// Memory for the parts of one object that is sent.
const PARTS_MEMORY: u64 = 32 << 20;

/// One bucket or container.
#[derive(Debug, Clone)]
pub(super) struct ObjectRemote {
    pub operator: Operator,
    pub kind: ObjectKind,
    /// Size of a part where the settings name one.
    pub part: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    /// An ETag without a `-` is the MD5 sum.
    S3,
    /// The same, where encryption makes ETags something else.
    S3WithoutSums,
    Azure,
}

impl ObjectRemote {
    pub(super) async fn stat(&self, path: &str) -> Result<Option<Item>> {
        check_path(path)?;
        if !path.is_empty() {
            match self.operator.stat(path).await {
                Ok(found) if found.is_file() => {
                    return Ok(Some(Item::file(path, self.file_of(&found))));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(of_opendal(&error)),
            }
        }
        // A folder is there when an object's name begins with its name.
        let limit = options::ListOptions { limit: Some(2), recursive: true, ..Default::default() };
        let lister = self.operator.lister_options(&folder_path(path), limit).await;
        let first = match lister {
            Ok(mut lister) => lister.try_next().await,
            Err(error) => Err(error),
        };
        match first {
            Ok(first) => Ok(first.map(|_| Item::folder(path))),
            Err(error) => Err(of_opendal(&error)),
        }
    }

    pub(super) async fn list(&self, folder: &str, depth: Depth) -> Result<Vec<Item>> {
        check_path(folder)?;
        let top = folder_path(folder);
        let options = options::ListOptions { recursive: depth == Depth::All, ..Default::default() };
        let entries = self.operator.list_options(&top, options).await;
        let entries = entries.map_err(|error| of_opendal(&error))?;
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            let (path, metadata) = entry.into_parts();
            if path == top || path == "/" {
                continue;
            }
            items.push(match metadata.mode() {
                EntryMode::DIR => Item::folder(&path),
                _ => Item::file(&path, self.file_of(&metadata)),
            });
        }
        Ok(items)
    }

    pub(super) async fn read(
        &self,
        path: &str,
        from: u64,
        file: &RemoteFile,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        check_path(path)?;
        let bytes = file.bytes.unwrap_or(0);
        let is_large = bytes.saturating_sub(from) > PART;
        let options = options::ReaderOptions {
            if_match: file.tag.as_deref().filter(|tag| !tag.starts_with("W/")).map(quoted),
            content_length_hint: file.bytes,
            concurrent: if is_large { PARTS_AT_ONCE } else { 1 },
            chunk: is_large.then_some(usize::try_from(PART / 2).unwrap_or(usize::MAX)),
            ..Default::default()
        };
        let reader = self.operator.reader_options(path, options).await;
        let reader = reader.map_err(|error| of_opendal(&error))?;
        let stream = reader.into_bytes_stream(from..bytes).await;
        let stream = stream.map_err(|error| of_opendal(&error))?;
        Ok(stream.map_err(|error| of_io(&error)).boxed())
    }

    pub(super) async fn write(
        &self,
        path: &str,
        source: &Source,
        on_progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        check_path(path)?;
        let part = part_size(source.bytes, self.part);
        if source.bytes > part {
            return self.write_parts(path, source, part, on_progress).await;
        }
        let mut pieces = source.open_summed().await?;
        let size = usize::try_from(part).unwrap_or(usize::MAX);
        let whole = pieces.next(size).await?.unwrap_or_default();
        let sent = self.operator.write(path, whole).await.map_err(|error| of_opendal(&error))?;
        on_progress(source.bytes);
        match (self.file_of(&sent).md5, pieces.md5()) {
            (Some(told), Some(sum)) if told != sum => {
                Err(RemoteError::temporary("what arrived has another checksum"))
            }
            _ => Ok(()),
        }
    }

    async fn write_parts(
        &self,
        path: &str,
        source: &Source,
        part: u64,
        on_progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let size = usize::try_from(part).unwrap_or(usize::MAX);
        let mut pieces = source.open().await?;
        // Parts of a huge file are large themselves.
        let fitting = usize::try_from(PARTS_MEMORY / part).unwrap_or(1);
        let options = options::WriteOptions {
            chunk: Some(size),
            concurrent: fitting.clamp(1, PARTS_AT_ONCE),
            ..Default::default()
        };
        let writer = self.operator.writer_options(path, options).await;
        let mut writer = writer.map_err(|error| of_opendal(&error))?;
        let written = async {
            while let Some(piece) = pieces.next(size).await? {
                let count = u64::try_from(piece.len()).unwrap_or(0);
                writer.write(piece).await.map_err(|error| of_opendal(&error))?;
                on_progress(count);
            }
            writer.close().await.map_err(|error| of_opendal(&error))
        }
        .await;
        if written.is_err() {
            // What stays of it costs money until the bucket's rules remove it.
            let _ = writer.abort().await;
        }
        written.map(|_| ())
    }

    /// Whether a file that was sent in parts, or whole, has this content: the
    /// tag of a file in parts is the sum of their sums.
    pub(super) async fn has_content_of(&self, file: &RemoteFile, source: &Source) -> Result<bool> {
        if let Some(sum) = file.md5 {
            return Ok(sum == source.md5().await?);
        }
        let count = file.tag.as_deref().and_then(|tag| tag.split_once('-')).map(|(_, count)| count);
        let part = part_size(source.bytes, self.part);
        if self.kind != ObjectKind::S3
            || count != Some(source.bytes.div_ceil(part).to_string().as_str())
        {
            return Ok(false);
        }
        let size = usize::try_from(part).unwrap_or(usize::MAX);
        let mut pieces = source.open().await?;
        let mut sums = Md5::new();
        while let Some(piece) = pieces.next(size).await? {
            sums.update(Md5::digest(&piece));
        }
        let expected = format!("{}-{}", hexadecimal(&sums.finalize()), count.unwrap_or_default());
        Ok(file.tag.as_deref() == Some(expected.as_str()))
    }

    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        check_path(path)?;
        self.operator.create_dir(&folder_path(path)).await.map_err(|error| of_opendal(&error))
    }

    pub(super) async fn delete(&self, item: &Item) -> Result<()> {
        check_path(&item.path)?;
        let path = if item.is_folder() { folder_path(&item.path) } else { item.path.clone() };
        self.operator.delete(&path).await.map_err(|error| of_opendal(&error))
    }

    fn file_of(&self, metadata: &Metadata) -> RemoteFile {
        let tag = metadata.etag().map(|tag| tag.trim_matches('"').to_owned());
        let md5 = match self.kind {
            ObjectKind::S3 => tag.as_deref().and_then(md5_of_digits),
            ObjectKind::S3WithoutSums => None,
            ObjectKind::Azure => metadata.content_md5().and_then(md5_of_base64),
        };
        RemoteFile {
            bytes: Some(metadata.content_length()),
            modified: metadata.last_modified().map(std::time::SystemTime::from),
            tag,
            md5,
        }
    }
}

/// Wants an operator whose requests go through our client.
pub(super) fn finish(builder: impl opendal::Builder, client: reqwest::Client) -> Result<Operator> {
    let operator = Operator::new(builder).map_err(|error| of_opendal(&error))?;
    let transport = opendal::HttpTransporter::new(super::net::Transport(client));
    let context = operator.base_context().with_http_transport(transport);
    Ok(operator.with_context(context))
}

/// A part is at least 8 MiB, and large enough that there are not too many.
fn part_size(bytes: u64, wanted: Option<u64>) -> u64 {
    let least = bytes.div_ceil(MAX_PARTS).div_ceil(1 << 20) << 20;
    least.max(wanted.unwrap_or(PART).max(5 << 20))
}

fn folder_path(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { format!("{}/", path.trim_end_matches('/')) }
}

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// `opendal` would take these for other names.
fn check_path(path: &str) -> Result<()> {
    if path.trim() == path && !path.starts_with('/') && !path.contains("//") {
        return Ok(());
    }
    Err(RemoteError::unsupported(
        "a name with white space at its end, or with an empty folder in it, cannot be used",
    ))
}

fn of_opendal(error: &opendal::Error) -> RemoteError {
    let kind = match error.kind() {
        ErrorKind::NotFound => RemoteErrorKind::NotFound,
        ErrorKind::PermissionDenied => RemoteErrorKind::Denied,
        ErrorKind::Unsupported => RemoteErrorKind::Unsupported,
        ErrorKind::ConditionNotMatch => RemoteErrorKind::Changed,
        ErrorKind::RateLimited => RemoteErrorKind::Temporary,
        _ if error.is_temporary() => RemoteErrorKind::Temporary,
        _ => RemoteErrorKind::Lasting,
    };
    // The answer to a question about one object has no room for words.
    let mut message = match (error.message(), kind) {
        ("", RemoteErrorKind::Denied) => "no permission, or wrong credentials".to_owned(),
        ("", _) => format!("the storage answers {}", error.kind()),
        (message, _) => message.to_owned(),
    };
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {}", chain(source));
    }
    RemoteError::new(kind, message)
}

/// From a stream, which wraps the library's errors.
fn of_io(error: &std::io::Error) -> RemoteError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<opendal::Error>());
    inner.map_or_else(|| RemoteError::of_io(error), of_opendal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_file() {
        assert_eq!(part_size(0, None), PART);
        assert_eq!(part_size(1 << 30, None), PART);
        let largest = 5_u64 << 40;
        assert!(largest.div_ceil(part_size(largest, None)) <= 10_000);
        assert_eq!(part_size(1 << 30, Some(64 << 20)), 64 << 20);
        assert_eq!(part_size(1 << 30, Some(1)), 5 << 20);
    }

    #[test]
    fn names_that_would_become_others_are_refused() {
        for path in ["", "a", "a b/c", "a/\nb"] {
            check_path(path).unwrap();
        }
        for path in ["a ", " a", "a//b", "/a", "a\n"] {
            assert_eq!(check_path(path).unwrap_err().kind, RemoteErrorKind::Unsupported);
        }
    }
}
