//! Lists what an address names on a remote, by the same rules as on this
//! machine: see [`super::super::local`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::domain::uri::Uri;

use super::super::error::{StorageError, Subject};
use super::super::glob::{NamePattern, Part, has_wildcards, parse_pattern};
use super::super::listing::{Entry, Listing};
use super::backend::Remote;
use super::error::{RemoteError, RemoteErrorKind};
use super::item::{Depth, Item, ItemKind};
use super::open::percent_name;

/// Deeper folders are a circle of links.
const MAX_DEPTH: usize = 200;

/// Files that are deleted at once.
const PARALLEL_DELETES: usize = 8;

type Result<T> = std::result::Result<T, StorageError>;

/// A listing in the making.
struct Walker<'a> {
    subject: Subject<'a>,
    remote: &'a Remote,
    listing: Listing,
}

/// A place that fits the beginning of a pattern.
struct Place<'p> {
    path: String,
    /// What is there, where that is known.
    item: Option<Item>,
    /// Its name from the first `**` on, when there is one.
    below: Option<PathBuf>,
    /// What its path must still fit.
    rest: &'p [Part<'p>],
}

/// Lists what an address names. A path that exists as it is written wins over
/// a pattern.
pub(in crate::storage) async fn list_remote(
    uri: &Uri,
    remote: &Remote,
    path: &str,
) -> Result<Listing> {
    let mut walker = Walker { subject: Subject(uri), remote, listing: Listing::new(uri) };
    if remote.has_url_names() {
        walker.add_url(path).await?;
        return Ok(walker.listing);
    }
    let found = walker.stat(path).await?;
    let pattern = format!("/{path}");
    match found {
        Some(item) => walker.add_named(&item).await?,
        None if has_wildcards(Path::new(&pattern)) => {
            walker.add_matches(Path::new(&pattern), path.starts_with('/')).await?;
        }
        None => return Err(walker.missing(path)),
    }
    Ok(walker.listing)
}

/// Deletes what an address names: files, and folders with all that is in them.
/// Says how many files there were.
pub(in crate::storage) async fn delete_remote(
    uri: &Uri,
    remote: &Remote,
    path: &str,
    listing: &Listing,
) -> Result<u64> {
    let subject = Subject(uri);
    let delete = async |item: Item| match remote.delete(&item).await {
        Err(error) if error.kind != RemoteErrorKind::NotFound => {
            Err(StorageError::of_remote(subject, "delete", &item.path, error))
        }
        _ => Ok(()),
    };
    let source = |entry: &Entry| entry.source.to_string_lossy().into_owned();
    let files: Vec<Item> = listing
        .files()
        .map(|(_, entry, _)| Item::file(&source(entry), super::item::RemoteFile::default()))
        .collect();
    let count = listing.file_count();
    let deletes = files.into_iter().map(delete);
    stream::iter(deletes).buffer_unordered(PARALLEL_DELETES).try_collect::<()>().await?;
    // What is deeper comes later in a listing, and has to go first.
    let folders = listing.entries().filter(|(_, entry)| entry.is_folder());
    let mut folders: Vec<String> = folders.map(|(_, entry)| source(entry)).collect();
    folders.reverse();
    if uri.is_folder() && !has_wildcards(Path::new(path)) && !path.is_empty() {
        folders.push(path.to_owned());
    }
    for folder in folders {
        delete(Item::folder(&folder)).await?;
    }
    Ok(count)
}

impl Walker<'_> {
    async fn stat(&self, path: &str) -> Result<Option<Item>> {
        if path.is_empty() {
            return Ok(Some(Item::folder("")));
        }
        let found = self.remote.stat(path).await;
        found.map_err(|error| self.failed("look at", path, error))
    }

    async fn list(&self, folder: &str, depth: Depth) -> Result<Vec<Item>> {
        let items = self.remote.list(folder, depth).await;
        items.map_err(|error| self.failed("list", folder, error))
    }

    /// A file that a URL names.
    async fn add_url(&mut self, path: &str) -> Result<()> {
        if self.subject.0.is_folder() {
            let error = self.remote.list(path, Depth::One).await.err();
            let error = error.unwrap_or_else(|| RemoteError::unsupported("it is no file"));
            return Err(self.failed("list", path, error));
        }
        let item = self.stat(path).await?.ok_or_else(|| self.missing(path))?;
        let name = percent_name(path);
        if name.is_empty() {
            let reason = "the URL does not end in one";
            let name = PathBuf::from(path);
            return Err(StorageError::Name { uri: self.subject.uri(), name, reason });
        }
        self.add_item(&item, &name)
    }

    /// A path that the address names literally.
    async fn add_named(&mut self, item: &Item) -> Result<()> {
        match (item.is_folder(), self.subject.0.is_folder()) {
            (true, false) => Err(StorageError::IsFolder { uri: self.subject.uri() }),
            (false, true) => Err(StorageError::IsNoFolder { uri: self.subject.uri() }),
            (true, true) => self.add_contents(&item.path, "").await,
            (false, false) => self.add_item(item, item.name()),
        }
    }

    /// All that is in a folder and below it, under `name`.
    async fn add_contents(&mut self, folder: &str, name: &str) -> Result<()> {
        if !name.is_empty() {
            self.add_item(&Item::folder(folder), name)?;
        }
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{}/", folder.trim_end_matches('/')),
        };
        for item in self.list(folder, Depth::All).await? {
            let Some(below) = item.path.strip_prefix(&prefix).filter(|below| !below.is_empty())
            else {
                continue;
            };
            let full = if name.is_empty() { below.to_owned() } else { format!("{name}/{below}") };
            self.add_item(&item, &full)?;
        }
        Ok(())
    }

    async fn add_matches(&mut self, pattern: &Path, is_absolute: bool) -> Result<()> {
        let wants_folders = self.subject.0.is_folder();
        let mut has_matched = false;
        for (path, (item, below)) in self.expand(pattern, is_absolute).await? {
            if item.is_folder() != wants_folders {
                continue;
            }
            has_matched = true;
            let below = below.map(|below| below.to_string_lossy().into_owned());
            if wants_folders {
                self.add_contents(&path, &below.unwrap_or_default()).await?;
            } else {
                self.add_item(&item, &below.unwrap_or_else(|| item.name().to_owned()))?;
            }
        }
        let kind = if wants_folders { "folder" } else { "file" };
        let nothing = || StorageError::NothingMatched { uri: self.subject.uri(), kind };
        has_matched.then_some(()).ok_or_else(nothing)
    }

    /// All that fits a pattern.
    async fn expand(
        &self,
        pattern: &Path,
        is_absolute: bool,
    ) -> Result<BTreeMap<String, (Item, Option<PathBuf>)>> {
        let parts = parse_pattern(pattern);
        let mut matches = BTreeMap::new();
        let top = if is_absolute { "/".to_owned() } else { String::new() };
        let mut pending = vec![Place { path: top, item: None, below: None, rest: &parts }];
        while let Some(place) = pending.pop() {
            let Some((part, rest)) = place.rest.split_first() else {
                let item = match place.item {
                    Some(item) => Some(item),
                    None => self.stat(&place.path).await?,
                };
                if let Some(item) = item {
                    matches.insert(place.path, (item, place.below));
                }
                continue;
            };
            if let Part::Name(name) = part {
                pending.push(place.step(&name.to_string_lossy(), None, rest));
                continue;
            }
            let anything = NamePattern::anything();
            let (wanted, is_deep) = match part {
                Part::Wild(wanted) => (wanted, false),
                _ => (&anything, true),
            };
            let mut here = place;
            if is_deep {
                here.below.get_or_insert_default();
            }
            let items = self.list_if_folder(&here).await?;
            for item in items.into_iter().filter(|item| wanted.matches(item.name().as_bytes())) {
                let name = item.name().to_owned();
                if !is_deep {
                    pending.push(here.step(&name, Some(item), rest));
                } else if item.is_folder() {
                    pending.push(here.step(&name, Some(item), here.rest));
                } else if rest.is_empty() {
                    pending.push(here.step(&name, Some(item), rest));
                }
            }
            if is_deep {
                pending.push(Place { rest, ..here });
            }
        }
        Ok(matches)
    }

    /// The contents of a place; a place that is no folder has none.
    async fn list_if_folder(&self, place: &Place<'_>) -> Result<Vec<Item>> {
        let is_folder = match &place.item {
            Some(item) => item.is_folder(),
            None => self.stat(&place.path).await?.is_some_and(|item| item.is_folder()),
        };
        if is_folder { self.list(&place.path, Depth::One).await } else { Ok(Vec::new()) }
    }

    fn add_item(&mut self, item: &Item, name: &str) -> Result<()> {
        let bad = |reason| {
            let name = PathBuf::from(name);
            Err(StorageError::Name { uri: self.subject.uri(), name, reason })
        };
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return bad("a part of it is empty, `.` or `..`");
        }
        if name.contains('\0') {
            return bad("it has a NUL byte");
        }
        if name.split('/').count() > MAX_DEPTH {
            return bad("its folders are too deep, perhaps a circle of links");
        }
        let source = PathBuf::from(&item.path);
        let entry = match &item.kind {
            ItemKind::Folder => Entry::folder(source),
            ItemKind::File(file) => {
                let (kind, facts) = file.facts();
                Entry { source, kind, remote: Some(facts) }
            }
        };
        self.listing.add(Path::new(name), entry)
    }

    fn failed(&self, action: &'static str, path: &str, error: RemoteError) -> StorageError {
        StorageError::of_remote(self.subject, action, path, error)
    }

    fn missing(&self, path: &str) -> StorageError {
        StorageError::NotFound { uri: self.subject.uri(), path: PathBuf::from(path) }
    }
}

impl Place<'_> {
    fn step<'p>(&self, name: &str, item: Option<Item>, rest: &'p [Part<'p>]) -> Place<'p> {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{}/{name}", path.trim_end_matches('/')),
        };
        let below = self.below.as_ref().map(|below| below.join(name));
        Place { path, item, below, rest }
    }
}
