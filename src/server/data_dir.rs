//! The server's data directory: made, checked, and held for one server.

mod network;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use network::network_file_system;

/// Names within the directory.
const LOCK: &str = "lock";
const DATABASE: &str = "scitq.db";
const OUTPUT: &str = "output";
const ADMIN_TOKEN: &str = "admin.token";
const SERVER: &str = "server.json";
const CERTIFICATE: &str = "tls.crt";
const CERTIFICATE_KEY: &str = "tls.key";

/// A data directory that no other server uses as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Locked; closing it gives the directory free, also when the process is killed.
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    #[error("the data directory `{path}` is no directory")]
    NotADirectory { path: PathBuf },
    #[error("cannot create the data directory `{path}`")]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to the data directory `{path}`")]
    NotWritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the data directory `{path}` belongs to user {owner}, and this server runs as {user}")]
    ForeignOwner { path: PathBuf, owner: u32, user: u32 },
    #[error("the data directory `{path}` is on a network file system ({kind})")]
    Network { path: PathBuf, kind: &'static str },
    #[error("the data directory `{path}` is used by another server{}", holder(*.pid))]
    Held { path: PathBuf, pid: Option<u32> },
    #[error("cannot {action} `{path}`")]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl DataDir {
    /// Makes the directory if there is none (for its user only), checks that a
    /// server can work in it, and takes it.
    ///
    /// # Errors
    /// Nothing is changed in a directory that is refused. [`DataDirError::hint`]
    /// says what to do.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        check_file_system(path)?;
        create(path)?;
        check_owner(path)?;
        let lock = take_lock(path)?;
        let directory = Self { path: path.to_owned(), _lock: lock };
        // SQLite gives its other files the permissions of this one.
        create_private(&directory.database())?;
        Ok(directory)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database. An empty file, readable by its user only, until the store
    /// makes its tables.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The directory of the output store.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.path.join(OUTPUT)
    }

    /// The file from which the command line of the same user takes its token.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.path.join(ADMIN_TOKEN)
    }

    /// The file that says where the running server listens.
    #[must_use]
    pub fn server(&self) -> PathBuf {
        self.path.join(SERVER)
    }

    /// The certificate that the server made for itself.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path.join(CERTIFICATE)
    }

    /// The private key of that certificate.
    #[must_use]
    pub fn certificate_key(&self) -> PathBuf {
        self.path.join(CERTIFICATE_KEY)
    }

    /// Bytes that this user can still write there.
    ///
    /// # Errors
    /// The file system does not answer.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let figures = rustix::fs::statvfs(&self.path)?;
        Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
    }
}

impl DataDirError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotADirectory { .. } => {
                Some("name a directory, or a path that does not exist yet".to_owned())
            }
            Self::Create { .. } | Self::NotWritable { .. } => {
                Some("name a directory in which this user may write".to_owned())
            }
            Self::ForeignOwner { owner, .. } => {
                Some(format!("run the server as user {owner}, or name another directory"))
            }
            Self::Network { .. } => Some(
                "the database needs memory shared between processes and locks that hold, which \
                 network file systems do not give: name a directory on a local disk of this machine"
                    .to_owned(),
            ),
            Self::Held { pid: Some(pid), .. } => {
                Some(format!("stop that server (`kill {pid}`), or name another directory"))
            }
            Self::Held { pid: None, .. } => {
                Some("stop that server, or name another directory".to_owned())
            }
            Self::File { .. } => None,
        }
    }

    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// Writes a file that only its user can read, in one step: after a power cut
/// there is the old or the new content, never a part. One at a time per file.
///
/// # Errors
/// The old content is still there.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    let mut draft_name = path.as_os_str().to_owned();
    draft_name.push(".new");
    let draft = PathBuf::from(draft_name);
    write_draft(&draft, bytes).map_err(DataDirError::file("write", &draft))?;
    fs::rename(&draft, path).map_err(DataDirError::file("replace", path))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    sync_directory(parent).map_err(DataDirError::file("sync", parent))
}

fn write_draft(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(draft)?;
    // One that was left over keeps the mode that it had.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Looks at the nearest directory that exists: a new one in it is on the same
/// file system.
fn check_file_system(path: &Path) -> Result<(), DataDirError> {
    let Some(existing) = path.ancestors().map(or_current).find(|path| path.exists()) else {
        return Ok(());
    };
    let kind = network_file_system(existing).map_err(DataDirError::file("examine", existing))?;
    match kind {
        Some(kind) => Err(DataDirError::Network { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The last ancestor of a relative path is written as nothing.
fn or_current(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn create(path: &Path) -> Result<(), DataDirError> {
    if path.is_dir() {
        return Ok(());
    }
    if path.exists() {
        return Err(DataDirError::NotADirectory { path: path.to_owned() });
    }
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|source| match source.kind() {
        io::ErrorKind::NotADirectory => DataDirError::NotADirectory { path: path.to_owned() },
        _ => DataDirError::Create { path: path.to_owned(), source },
    })
}

fn check_owner(path: &Path) -> Result<(), DataDirError> {
    let owner = fs::metadata(path).map_err(DataDirError::file("examine", path))?.uid();
    let user = rustix::process::geteuid().as_raw();
    if is_foreign(owner, user) {
        return Err(DataDirError::ForeignOwner { path: path.to_owned(), owner, user });
    }
    Ok(())
}

/// Root may use everyone's directory, anyone else only their own.
const fn is_foreign(owner: u32, user: u32) -> bool {
    user != 0 && owner != user
}

fn take_lock(directory: &Path) -> Result<File, DataDirError> {
    let path = directory.join(LOCK);
    let not_writable = |source| DataDirError::NotWritable { path: directory.to_owned(), source };
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(DataDirError::Held { path: directory.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(DataDirError::file("lock", &path)(source)),
    }
    let pid = format!("{}\n", std::process::id());
    lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes())).map_err(not_writable)?;
    Ok(lock)
}

fn create_private(path: &Path) -> Result<(), DataDirError> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map(drop).map_err(DataDirError::file("create", path))
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_is_for_its_user_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let directory = DataDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&directory.database()), 0o600);
        assert_eq!(directory.path(), path);
        assert_eq!(directory.output(), path.join("output"));
        assert_eq!(directory.admin_token(), path.join("admin.token"));
        assert_eq!(directory.server(), path.join("server.json"));
        assert!(directory.free_bytes().unwrap() > 0);
    }

    #[test]
    fn a_second_server_is_refused_and_told_of_the_first() {
        let path = tempfile::tempdir().unwrap();
        let first = DataDir::open(path.path()).unwrap();
        let error = DataDir::open(path.path()).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, DataDirError::Held { pid: Some(pid), .. } if pid == own));
        assert!(error.to_string().ends_with(&format!("another server (process {own})")));
        assert!(error.hint().unwrap().contains(&own.to_string()));
        drop(first);
        fs::write(path.path().join(LOCK), "99999999 was here before").unwrap();
        let second = DataDir::open(path.path()).unwrap();
        assert_eq!(fs::read_to_string(path.path().join(LOCK)).unwrap(), format!("{own}\n"));
        drop(second);
    }

    #[test]
    fn what_is_in_the_directory_stays() {
        let path = tempfile::tempdir().unwrap();
        fs::write(path.path().join(DATABASE), "rows").unwrap();
        let directory = DataDir::open(path.path()).unwrap();
        assert_eq!(fs::read_to_string(directory.database()).unwrap(), "rows");
    }

    #[test]
    fn a_file_is_no_directory() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataDir::open(&path).unwrap_err();
            assert!(matches!(error, DataDirError::NotADirectory { .. }), "{error:?}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }

    #[test]
    fn a_directory_without_write_permission_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let closed = parent.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
        // Permissions do not hold root back; the kernel's own directories do.
        let is_root = rustix::process::geteuid().is_root();
        let path = if is_root { Path::new("/sys/kernel") } else { &closed };
        let error = DataDir::open(path).unwrap_err();
        assert!(matches!(error, DataDirError::NotWritable { .. }), "{error:?}");
        let error = DataDir::open(&path.join("new")).unwrap_err();
        assert!(matches!(error, DataDirError::Create { .. }), "{error:?}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn only_root_may_use_the_directory_of_another() {
        let cases = [(1000, 1000, false), (1000, 1001, true), (0, 1000, true), (1000, 0, false)];
        for (owner, user, expected) in cases {
            assert_eq!(is_foreign(owner, user), expected, "{user} in a directory of {owner}");
        }
    }

    #[test]
    fn a_private_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.token");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::write(directory.path().join("admin.token.new"), "left over, and longer").unwrap();
        write_private(&path, b"secret").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(write_private(&directory.path().join("no/such"), b"x").is_err());
    }
}
