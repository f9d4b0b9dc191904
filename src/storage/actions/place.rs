//! Files in the folder of an action.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::super::transfer::Placement;

const BUFFER: usize = 1 << 20;

/// All files and folders below a folder, by relative name; a folder before what
/// is in it. Links are not followed.
pub(super) fn list_tree(folder: &Path) -> io::Result<Vec<(PathBuf, fs::FileType)>> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(name) = pending.pop() {
        for entry in fs::read_dir(folder.join(&name))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = name.join(entry.file_name());
            if kind.is_dir() {
                pending.push(name.clone());
            }
            found.push((name, kind));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// The same file under another name: it costs no space.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => fs::copy(from, to).map(|_| ()),
        linked => linked,
    }
}

/// Writes a new file, unless that is cancelled. A file of this name is an error.
pub(super) fn write_new(
    path: &Path,
    content: &mut dyn Read,
    modified: Option<SystemTime>,
    cancel: &CancellationToken,
) -> io::Result<u64> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let count = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        file.write_all(buffer.get(..count).unwrap_or_default())?;
        total += u64::try_from(count).unwrap_or(0);
    }
    if let Some(modified) = modified {
        file.set_times(FileTimes::new().set_modified(modified))?;
    }
    Ok(total)
}

pub(super) fn cancelled() -> io::Error {
    ErrorKind::Interrupted.into()
}

/// The name without an ending, if it has it in any case.
pub(super) fn without_ending(name: &Path, ending: &str) -> Option<PathBuf> {
    let extension = name.extension().and_then(OsStr::to_str)?;
    extension.eq_ignore_ascii_case(ending).then(|| name.with_extension(""))
}

/// Gives files and folders the permissions of their placement, and sees to it
/// that they are on disk where they must be.
pub(super) fn settle(folder: &Path, placement: Placement) -> io::Result<()> {
    for (name, kind) in list_tree(folder)? {
        let path = folder.join(name);
        if kind.is_symlink() {
            continue;
        }
        let is_program = fs::metadata(&path)?.permissions().mode() & 0o111 != 0;
        let mode = match (placement, kind.is_dir(), is_program) {
            (Placement::Input, true, _) => 0o777,
            (Placement::Input, false, false) => 0o644,
            (Placement::Input, false, true) | (Placement::Resource, true, _) => 0o755,
            (Placement::Resource, false, false) => 0o444,
            (Placement::Resource, false, true) => 0o555,
            (Placement::Output, _, _) => continue,
        };
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    if placement.is_synced() {
        rustix::fs::syncfs(File::open(folder)?)?;
    }
    Ok(())
}
