//! The layout of a worker's directory, and the folders of one task in it.
//!
//! ```text
//! WORKDIR/tasks/EXECUTION/{input,output,tmp,resource,log}
//! WORKDIR/tasks/EXECUTION/stdin
//! WORKDIR/resources/
//! WORKDIR/journal/
//! ```

mod spare;

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::ExecutionId;
use crate::domain::execution::Stream;

pub use spare::SpareDirs;

/// Mode of a task's own folder.
const ROOT_MODE: u32 = 0o700;

const LOG: &str = "log";

/// The folders in a task's own, with their modes.
const INNER: [(&str, u32); 5] =
    [("input", 0o777), ("output", 0o777), ("tmp", 0o777), ("resource", 0o755), (LOG, 0o755)];

/// User and group as which a command runs; none where they are the agent's own.
pub type Owner = (Option<u32>, Option<u32>);

/// Why a task's folders cannot be made or removed.
#[derive(Debug, Error)]
pub enum WorkdirError {
    #[error("cannot make the folder `{}`", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot write the file `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot remove the folder `{}`", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("cannot read the folder `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// The folders of one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDirs {
    root: PathBuf,
}

/// The folder that holds the folders of all executions.
#[must_use]
pub fn tasks(workdir: &Path) -> PathBuf {
    workdir.join("tasks")
}

/// The folder of resources that tasks share.
#[must_use]
pub fn resources(workdir: &Path) -> PathBuf {
    workdir.join("resources")
}

/// The folder of what the agent itself writes down.
#[must_use]
pub fn journal(workdir: &Path) -> PathBuf {
    workdir.join("journal")
}

/// The executions that have folders, in no order.
///
/// # Errors
/// The folder of all tasks is there and cannot be read.
pub fn list_executions(workdir: &Path) -> Result<Vec<ExecutionId>, WorkdirError> {
    let path = tasks(workdir);
    let failed = |source| WorkdirError::Read { path: path.clone(), source };
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut executions = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        executions.extend(name.to_str().and_then(|name| name.parse::<ExecutionId>().ok()));
    }
    Ok(executions)
}

impl TaskDirs {
    /// The folders of `execution`, which need not exist. `workdir` should be
    /// absolute: commands get these paths.
    #[must_use]
    pub fn new(workdir: &Path, execution: ExecutionId) -> Self {
        Self { root: tasks(workdir).join(execution.to_string()) }
    }

    /// The folders of a task that a person runs by hand.
    #[must_use]
    pub const fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The task's own folder, in which its command starts.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn input(&self) -> PathBuf {
        self.root.join("input")
    }

    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.root.join("output")
    }

    #[must_use]
    pub fn temp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    #[must_use]
    pub fn resource(&self) -> PathBuf {
        self.root.join("resource")
    }

    /// Where inputs are unpacked; only there for a task that needs it.
    #[must_use]
    pub fn unpacked(&self) -> PathBuf {
        self.root.join(".unpacked")
    }

    /// For what is made on the way; only there for a task that needs it.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join(".scratch")
    }

    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join(LOG)
    }

    /// The file of an output stream.
    #[must_use]
    pub fn stream(&self, stream: Stream) -> PathBuf {
        let mut path = self.log();
        path.push(<&str>::from(stream));
        path
    }

    #[must_use]
    pub fn stdout(&self) -> PathBuf {
        self.stream(Stream::Stdout)
    }

    #[must_use]
    pub fn stderr(&self) -> PathBuf {
        self.stream(Stream::Stderr)
    }

    /// What the command reads on its standard input, when it has one.
    #[must_use]
    pub fn stdin(&self) -> PathBuf {
        self.root.join("stdin")
    }

    /// Keeps what the command shall read on its standard input.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_stdin(&self, bytes: &[u8], owner: Owner) -> Result<(), WorkdirError> {
        let path = self.stdin();
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let options = options.create(true).write(true).truncate(true).mode(0o600);
            options.open(&path)?.write_all(bytes)?;
            if owner != Owner::default() {
                chown(&path, owner.0, owner.1)?;
            }
            Ok(())
        };
        write().map_err(|source| WorkdirError::Write { path: path.clone(), source })
    }

    /// Forgets what [`Self::write_stdin`] kept.
    ///
    /// # Errors
    /// The file is there and cannot be removed.
    pub fn remove_stdin(&self) -> Result<(), WorkdirError> {
        let path = self.stdin();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(WorkdirError::Remove { path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Makes the folders; those that are there already stay.
    ///
    /// Nobody else can look into the task's own folder. Within it, anybody can
    /// write to `input`, `output` and `tmp` whatever the umask, since a
    /// container may run as any user. The task's own folder is given to
    /// `owner`, who could not even enter it otherwise.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn create(&self, owner: Owner) -> Result<(), WorkdirError> {
        if let Err(error) = make(&self.root, ROOT_MODE) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(create_failed(&self.root)(error));
            }
            let tasks = self.root.parent().unwrap_or(&self.root);
            fs::create_dir_all(tasks).map_err(create_failed(tasks))?;
            make(&self.root, ROOT_MODE).map_err(create_failed(&self.root))?;
        }
        for (name, mode) in INNER {
            let folder = self.root.join(name);
            make(&folder, mode)
                .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(mode)))
                .map_err(create_failed(&folder))?;
        }
        if owner != Owner::default() {
            chown(&self.root, owner.0, owner.1).map_err(create_failed(&self.root))?;
        }
        Ok(())
    }

    /// Removes the folders with all that is in them, also what the command has
    /// made read-only.
    ///
    /// # Errors
    /// Something cannot be removed; the rest may be gone.
    pub fn remove(&self) -> Result<(), WorkdirError> {
        remove_tree(&self.root)
    }
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn create_failed(path: &Path) -> impl FnOnce(io::Error) -> WorkdirError + use<'_> {
    |source| WorkdirError::Create { path: path.to_owned(), source }
}

fn remove_tree(root: &Path) -> Result<(), WorkdirError> {
    let outcome = match fs::remove_dir_all(root) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(root).and_then(|()| fs::remove_dir_all(root))
        }
        outcome => outcome,
    };
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|source| WorkdirError::Remove { path: root.to_owned(), source }),
    }
}

/// Lets the owner remove what is in `folder` and below. Links are not followed.
fn make_writable(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn folders_are_made_with_their_modes_and_removed() {
        let workdir = tempfile::tempdir().unwrap();
        let dirs = TaskDirs::new(workdir.path(), ExecutionId(5));
        assert_eq!(list_executions(workdir.path()).unwrap(), []);
        dirs.create((None, None)).unwrap();
        assert_eq!(mode(dirs.root()), 0o700);
        for (folder, expected) in INNER {
            assert_eq!(mode(&dirs.root().join(folder)), expected);
        }
        fs::write(dirs.stdout(), "kept").unwrap();
        dirs.create((None, None)).unwrap();
        assert_eq!(fs::read(dirs.stdout()).unwrap(), b"kept");
        assert_eq!(list_executions(workdir.path()).unwrap(), [ExecutionId(5)]);

        let deep = dirs.output().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        make_read_only(&deep);
        make_read_only(&dirs.output().join("a"));
        dirs.remove().unwrap();
        assert!(!dirs.root().exists());
        dirs.remove().unwrap();
    }

    #[test]
    fn locked_folders_become_writable() {
        let workdir = tempfile::tempdir().unwrap();
        let deep = workdir.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        make_read_only(&deep);
        make_writable(workdir.path()).unwrap();
        assert_eq!(mode(&deep), 0o700);
    }

    fn make_read_only(folder: &Path) {
        fs::set_permissions(folder, Permissions::from_mode(0o500)).unwrap();
    }
}
