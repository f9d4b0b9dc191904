//! Unpacks tar archives.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tar::{Archive, EntryType};
use tokio_util::sync::CancellationToken;

use super::pack::open_unpacked;
use super::place::{cancelled, link_or_copy, write_new};

/// Where a tar archive says that it is one.
const MARK_AT: usize = 257;
const MARK: &[u8] = b"ustar";

/// What a part of an archive's path may not be.
pub(super) const OUTSIDE: &str = "it has a path that leads outside its folder";

/// Whether the file is a tar archive, packed or not.
pub(super) fn is_tar(path: &Path) -> io::Result<bool> {
    let (_, unpacked) = open_unpacked(path)?;
    let mut front = Vec::new();
    let wanted = MARK_AT + MARK.len();
    match unpacked.take(wanted as u64).read_to_end(&mut front) {
        Ok(_) => Ok(front.get(MARK_AT..) == Some(MARK)),
        // Damaged from the start on, or packed by something else.
        Err(error) if error.raw_os_error().is_none() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Unpacks an archive into a folder, which must be there. Links to what lies
/// outside of it are refused; devices and the like are left out.
pub(super) fn untar(path: &Path, into: &Path, cancel: &CancellationToken) -> io::Result<()> {
    let (_, unpacked) = open_unpacked(path)?;
    let mut archive = Archive::new(unpacked);
    let mut has_end = false;
    for entry in archive.entries()? {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let mut entry = entry?;
        has_end = true;
        let Some(name) = inner_name(&entry.path()?)? else { continue };
        let target = into.join(&name);
        make_parents(into, &name)?;
        let header = entry.header();
        let mode = header.mode().unwrap_or(0o644);
        let seconds = header.mtime().unwrap_or(0);
        let kind = header.entry_type();
        match kind {
            EntryType::Directory => make_folder(&target)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                remove_file(&target)?;
                let modified = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
                write_new(&target, &mut entry, modified, cancel)?;
                let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
                fs::set_permissions(&target, Permissions::from_mode(mode))?;
            }
            EntryType::Link => {
                let to = entry.link_name()?.ok_or(ErrorKind::InvalidData)?;
                let to = inner_name(&to)?.ok_or(ErrorKind::InvalidData)?;
                check_real(into, &to)?;
                remove_file(&target)?;
                link_or_copy(&into.join(to), &target)?;
            }
            EntryType::Symlink => {
                let to = entry.link_name()?.ok_or(ErrorKind::InvalidData)?.into_owned();
                check_link(&name, &to)?;
                remove_file(&target)?;
                symlink(to, &target)?;
            }
            _ => {}
        }
    }
    if has_end { Ok(()) } else { Err(io::Error::other("it is empty")) }
}

/// The path of an entry without `.`; none for the folder itself.
pub(super) fn inner_name(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut name = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => name.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(io::Error::other(OUTSIDE));
            }
        }
    }
    Ok((!name.as_os_str().is_empty()).then_some(name))
}

/// Makes the folders that lead to a name. None of them may be a link: it could
/// lead anywhere.
pub(super) fn make_parents(into: &Path, name: &Path) -> io::Result<()> {
    let mut folder = into.to_owned();
    for part in name.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        make_folder(&folder)?;
    }
    Ok(())
}

pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::Error::other("it has a folder and something else under one name"))
            }
        }
        made => made,
    }
}

/// The later of two entries of one name counts, as with `tar` itself.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A hard link leads to a file of the archive, over no link.
fn check_real(into: &Path, name: &Path) -> io::Result<()> {
    let mut path = into.to_owned();
    for part in name.components() {
        path.push(part);
        if fs::symlink_metadata(&path)?.is_symlink() {
            return Err(io::Error::other(OUTSIDE));
        }
    }
    Ok(())
}

/// A link counts from the folder that it lies in, and must stay below the top.
fn check_link(name: &Path, to: &Path) -> io::Result<()> {
    let mut depth = name.components().count() - 1;
    for part in to.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(io::Error::other("it has a link that leads outside its folder"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_lead_down_are_taken() {
        assert_eq!(inner_name(Path::new("./a/./b")).unwrap(), Some(PathBuf::from("a/b")));
        assert_eq!(inner_name(Path::new("./")).unwrap(), None);
        for path in ["/a", "../a", "a/../../b", "a/.."] {
            assert!(inner_name(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn links_must_stay_inside() {
        for (name, to) in [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/./e")] {
            check_link(Path::new(name), Path::new(to)).unwrap();
        }
        for (name, to) in [("a", "/b"), ("a", "../b"), ("a/b", "../../c"), ("a/b", "c/../../../d")]
        {
            assert!(check_link(Path::new(name), Path::new(to)).is_err(), "{name} {to}");
        }
    }
}
