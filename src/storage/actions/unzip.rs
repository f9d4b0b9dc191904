//! Unpacks zip archives.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio_util::sync::CancellationToken;
use zip::ZipArchive;

use super::place::{cancelled, write_new};
use super::untar::{inner_name, make_folder, make_parents};

/// Kinds of files in the upper bits of a mode.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// Whether the file begins as a zip archive does.
pub(super) fn is_zip(path: &Path) -> io::Result<bool> {
    let mut front = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut front)?;
    Ok(matches!(front.as_slice(), b"PK\x03\x04" | b"PK\x05\x06"))
}

/// Unpacks an archive into a folder, which must be there. Links are refused:
/// hardly any archive has them, and they could lead anywhere.
pub(super) fn unzip(path: &Path, into: &Path, cancel: &CancellationToken) -> io::Result<()> {
    let reader = BufReader::new(File::open(path)?);
    let mut archive = ZipArchive::new(reader).map_err(io::Error::other)?;
    for index in 0..archive.len() {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let mut entry = archive.by_index(index).map_err(io::Error::other)?;
        let path = entry.name().replace('\\', "/");
        let Some(name) = inner_name(Path::new(&path))? else { continue };
        let target = into.join(&name);
        make_parents(into, &name)?;
        if entry.is_dir() {
            make_folder(&target)?;
            continue;
        }
        let mode = entry.unix_mode().unwrap_or(0o644);
        if mode & KIND == LINK {
            return Err(io::Error::other("it has a symbolic link"));
        }
        write_new(&target, &mut entry, None, cancel)?;
        let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        fs::set_permissions(&target, Permissions::from_mode(mode))?;
    }
    Ok(())
}
