//! Carries out the actions of an address, one after the other.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::domain::uri::Uri;

use super::super::address::shown;
use super::super::error::StorageError;
use super::super::local::{Links, list_folder};
use super::super::transfer::{Placement, Transfer, run_blocking};
use super::pack::{Packing, open_unpacked};
use super::parse::{Action, parse_actions};
use super::place::{link_or_copy, list_tree, settle, without_ending, write_new};
use super::untar::{is_tar, make_parents, untar};
use super::unzip::{is_zip, unzip};

/// A step from one folder to the next.
struct Step<'a> {
    uri: &'a Uri,
    /// As the address spells it.
    word: &'a str,
    action: &'a Action,
    from: &'a Path,
    to: &'a Path,
    transfer: &'a Transfer,
}

/// Whether anything is to be done with the data of this address.
#[must_use]
pub fn has_actions(uri: &Uri) -> bool {
    !uri.actions.is_empty()
}

/// Does what the address says with the files in `raw`, which stays as it is.
/// The outcome becomes the folder `done`, all at once; what lay there is
/// replaced. `steps` is for folders in between: after a kill they are made anew.
///
/// # Errors
/// An archive that is damaged, or writes outside its folder; an action that
/// finds nothing to do; a full disk.
pub async fn act(
    uri: &Uri,
    raw: &Path,
    steps: &Path,
    done: &Path,
    placement: Placement,
    transfer: &Transfer,
) -> Result<(), StorageError> {
    let actions = parse_actions(uri)?;
    let (owned, raw) = (uri.clone(), raw.to_owned());
    let (steps, done) = (steps.to_owned(), done.to_owned());
    run_blocking(uri, transfer, move |transfer| {
        let folder = |path: &Path| StorageError::io(&owned, "prepare", path);
        remove_tree(&steps).map_err(folder(&steps))?;
        let mut from = raw;
        for (number, (action, word)) in actions.iter().zip(&owned.actions).enumerate() {
            let to = steps.join(number.to_string());
            fs::create_dir_all(&to).map_err(folder(&to))?;
            let step = Step { uri: &owned, word, action, from: &from, to: &to, transfer };
            step.run()?;
            if number > 0 {
                remove_tree(&from).map_err(folder(&from))?;
            }
            from = to;
        }
        settle(&from, placement).map_err(folder(&from))?;
        remove_tree(&done).map_err(folder(&done))?;
        fs::rename(&from, &done).map_err(folder(&done))?;
        remove_tree(&steps).map_err(folder(&steps))
    })
    .await
}

impl Step<'_> {
    fn run(&self) -> Result<(), StorageError> {
        let tree = list_tree(self.from).map_err(StorageError::io(self.uri, "read", self.from))?;
        match self.action {
            Action::Move(folder) => self.take_all(&tree, |name| folder.join(name)),
            Action::Rename(new) => {
                let top: Vec<&PathBuf> = tree
                    .iter()
                    .map(|(name, _)| name)
                    .filter(|name| name.components().count() == 1)
                    .collect();
                let [only] = top.as_slice() else {
                    let reason = format!("there are {} files and folders, not one", top.len());
                    return Err(self.failed(Path::new(""), reason));
                };
                let only = (*only).clone();
                self.take_all(&tree, |name| {
                    let below = name.strip_prefix(&only).unwrap_or(name);
                    if below.as_os_str().is_empty() {
                        PathBuf::from(new)
                    } else {
                        Path::new(new).join(below)
                    }
                })
            }
            _ => self.unpack_all(&tree),
        }
    }

    /// Takes all files and folders over, under other names.
    fn take_all(
        &self,
        tree: &[(PathBuf, fs::FileType)],
        rename: impl Fn(&Path) -> PathBuf,
    ) -> Result<(), StorageError> {
        for (name, kind) in tree {
            self.take(name, &rename(name), *kind)?;
        }
        Ok(())
    }

    fn take(&self, name: &Path, new: &Path, kind: fs::FileType) -> Result<(), StorageError> {
        let (from, to) = (self.from.join(name), self.to.join(new));
        let taken = make_parents(self.to, new).and_then(|()| {
            if kind.is_dir() { fs::create_dir_all(&to) } else { link_or_copy(&from, &to) }
        });
        taken.map_err(|error| self.on_error(name, &error))
    }

    fn unpack_all(&self, tree: &[(PathBuf, fs::FileType)]) -> Result<(), StorageError> {
        let mut has_unpacked = false;
        for (name, kind) in tree {
            if self.transfer.cancel.is_cancelled() {
                return Err(StorageError::Cancelled { uri: shown(self.uri) });
            }
            let from = self.from.join(name);
            if kind.is_dir() {
                self.take(name, name, *kind)?;
                continue;
            }
            let unpacked = make_parents(self.to, name).and_then(|()| self.unpack(name, &from));
            if unpacked.map_err(|error| self.on_error(name, &error))? {
                has_unpacked = true;
            } else {
                self.take(name, name, *kind)?;
            }
        }
        if !has_unpacked {
            let only = tree.iter().find(|(_, kind)| !kind.is_dir()).map(|(name, _)| name.clone());
            let reason = "it is not packed so, or it is damaged from the start on".to_owned();
            return Err(self.failed(&only.unwrap_or_default(), reason));
        }
        Ok(())
    }

    /// Unpacks one file, if it is packed in the way that the action is for.
    fn unpack(&self, name: &Path, from: &Path) -> io::Result<bool> {
        let cancel = &self.transfer.cancel;
        let folder = self.to.join(name.parent().unwrap_or(Path::new("")));
        match self.action {
            Action::Gunzip => self.unpack_stream(name, from, Packing::Gzip, &["gz", "gzip", "bgz"]),
            Action::Zstd => self.unpack_stream(name, from, Packing::Zstd, &["zst", "zstd"]),
            Action::Untar if is_tar(from)? => {
                let inner = Aside::new(self.to)?;
                untar(from, &inner.0, cancel)?;
                flatten(self.uri, &inner.0, &folder, self.transfer).map(|()| true)
            }
            Action::Unzip if is_zip(from)? => {
                let inner = Aside::new(self.to)?;
                unzip(from, &inner.0, cancel)?;
                flatten(self.uri, &inner.0, &folder, self.transfer).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    fn unpack_stream(
        &self,
        name: &Path,
        from: &Path,
        wanted: Packing,
        endings: &[&str],
    ) -> io::Result<bool> {
        let (packing, mut content) = open_unpacked(from)?;
        if packing != wanted {
            return Ok(false);
        }
        let shorter = endings.iter().find_map(|ending| without_ending(name, ending));
        let modified = fs::metadata(from)?.modified().ok();
        let target = self.to.join(shorter.unwrap_or_else(|| name.to_owned()));
        write_new(&target, &mut content, modified, &self.transfer.cancel)?;
        Ok(true)
    }

    fn failed(&self, path: &Path, reason: String) -> StorageError {
        let (uri, action) = (shown(self.uri), self.word.to_owned());
        StorageError::Archive { uri, action, path: path.to_owned(), reason }
    }

    /// An error of the disk is one of the disk, not of the archive.
    fn on_error(&self, name: &Path, error: &io::Error) -> StorageError {
        if self.transfer.cancel.is_cancelled() {
            return StorageError::Cancelled { uri: shown(self.uri) };
        }
        if error.raw_os_error().is_some() && error.kind() != ErrorKind::AlreadyExists {
            let again = io::Error::from(error.kind());
            let source = error.raw_os_error().map_or(again, io::Error::from_raw_os_error);
            return StorageError::io(self.uri, "unpack into", &self.to.join(name))(source);
        }
        let reason = match error.kind() {
            ErrorKind::AlreadyExists => "two files would have one name".to_owned(),
            ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => error.to_string(),
        };
        self.failed(name, reason)
    }
}

/// A folder for one archive, removed in the end.
struct Aside(PathBuf);

impl Aside {
    fn new(beside: &Path) -> io::Result<Self> {
        let path = beside.with_extension("archive");
        remove_tree(&path)?;
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What stays is removed with the steps.
        let _ = remove_tree(&self.0);
    }
}

/// Moves what an archive had to where it belongs, with files in the place of
/// links, so that nothing depends on where it lies. Files of two archives may
/// not have one name.
fn flatten(uri: &Uri, from: &Path, to: &Path, transfer: &Transfer) -> io::Result<()> {
    let listing = list_folder(uri, from, Links::FollowOnce, transfer);
    let listing = listing.map_err(|error| io::Error::other(error.to_string()))?;
    if let Some(note) = listing.notes().first() {
        let name = note.path.strip_prefix(from).unwrap_or(&note.path).display();
        return Err(io::Error::other(format!("`{name}` in it cannot be used: {}", note.reason)));
    }
    let top = from.canonicalize()?;
    for (name, entry) in listing.entries() {
        make_parents(to, name)?;
        let target = to.join(name);
        if entry.is_folder() {
            fs::create_dir_all(&target)?;
            continue;
        }
        let real = entry.source.canonicalize()?;
        if !real.starts_with(&top) {
            return Err(io::Error::other("it has a link that leads outside its folder"));
        }
        link_or_copy(&real, &target)?;
    }
    Ok(())
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
