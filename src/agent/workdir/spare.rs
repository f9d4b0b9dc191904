//! Folders of ended tasks that serve the next ones.
//!
//! To make the folders and files of a task and to remove them costs 400 µs of
//! processor time on a disk, as much as a short command, and far more on an
//! ext4 without a journal, which looks at each number of a file that was
//! removed lately before it gives one to a new file. So the folders of a task
//! that left nothing in them are kept and renamed for the next one, which costs
//! a fifth of that. Folders in which anything was left, whose mode was changed,
//! or which belonged to another user are removed.
//!
//! The files of the output streams are emptied and kept as well, unless
//! somebody still has them open for writing: a daemon that the task started.
//! A lock tells (see the supervisor's `spawn`).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RawDir, RenameFlags, flock, fstat,
    ftruncate, openat, renameat_with, unlinkat,
};
use rustix::process::geteuid;
use strum::IntoEnumIterator;

use super::{INNER, LOG, Owner, ROOT_MODE, TaskDirs, WorkdirError, remove_tree, tasks};
use crate::domain::execution::Stream;

/// Most folders that are kept.
const MAX_SPARES: usize = 32;

/// Names of spare folders begin like this, and so are no executions.
const PREFIX: &str = "spare-";

/// Makes and removes the folders of tasks, out of a stock of spare ones.
#[derive(Debug)]
pub struct SpareDirs {
    tasks: PathBuf,
    stock: Mutex<Stock>,
}

#[derive(Debug, Default)]
struct Stock {
    spares: Vec<PathBuf>,
    last_number: u64,
}

impl SpareDirs {
    /// Begins without spare folders; those of an agent before are removed.
    ///
    /// # Errors
    /// One cannot be removed, or nobody can look for them.
    pub fn open(workdir: &Path) -> Result<Self, WorkdirError> {
        let tasks = tasks(workdir);
        let failed = |source| WorkdirError::Read { path: tasks.clone(), source };
        match fs::read_dir(&tasks) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(failed)?;
                    if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                        remove_tree(&entry.path())?;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(Self { tasks, stock: Mutex::default() })
    }

    /// Gives an execution a spare folder, if there is one and nothing in its
    /// place.
    pub fn take(&self, dirs: &TaskDirs) -> bool {
        let Some(spare) = self.stock().spares.pop() else { return false };
        let moved = renameat_with(CWD, &spare, CWD, dirs.root(), RenameFlags::NOREPLACE);
        if moved.is_err() {
            // Whoever has more time for it finds out what is wrong.
            self.stock().spares.push(spare);
        }
        moved.is_ok()
    }

    /// As [`TaskDirs::create`], for an execution that has no folders.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn create(&self, dirs: &TaskDirs, owner: Owner) -> Result<(), WorkdirError> {
        let spare = if owner == Owner::default() { self.stock().spares.pop() } else { None };
        match spare.map(|spare| fs::rename(spare, dirs.root())) {
            Some(Ok(())) => Ok(()),
            // The next `open` removes a spare folder that cannot be used.
            Some(Err(_)) | None => dirs.create(owner),
        }
    }

    /// As [`TaskDirs::remove`].
    ///
    /// # Errors
    /// Something cannot be removed; the rest may be gone.
    pub fn remove(&self, dirs: &TaskDirs) -> Result<(), WorkdirError> {
        if matches!(self.keep(dirs.root()), Ok(Kept::Yes)) { Ok(()) } else { dirs.remove() }
    }

    fn keep(&self, root: &Path) -> io::Result<Kept> {
        if self.stock().spares.len() >= MAX_SPARES || strip(root)? == Stripped::No {
            return Ok(Kept::No);
        }
        let mut stock = self.stock();
        stock.last_number += 1;
        let spare = self.tasks.join(format!("{PREFIX}{}", stock.last_number));
        fs::rename(root, &spare)?;
        stock.spares.push(spare);
        Ok(Kept::Yes)
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether folders are spare now.
enum Kept {
    Yes,
    No,
}

/// Whether nothing is left in the folders of a task.
#[derive(PartialEq, Eq)]
enum Stripped {
    Yes,
    No,
}

/// Empties or removes the output files, provided that nothing else is in the
/// folders and that they are as they were made.
fn strip(root: &Path) -> io::Result<Stripped> {
    let Some(root) = open_unchanged(CWD, root, ROOT_MODE)? else { return Ok(Stripped::No) };
    if some_names(&root)?.len() != INNER.len() {
        return Ok(Stripped::No);
    }
    for (name, mode) in INNER {
        let Some(folder) = open_unchanged(root.as_fd(), name, mode)? else {
            return Ok(Stripped::No);
        };
        for file in some_names(&folder)? {
            if name != LOG || !Stream::iter().any(|stream| file == <&str>::from(stream)) {
                return Ok(Stripped::No);
            }
            if empty(&folder, &file)? == Emptied::No {
                unlinkat(&folder, &file, AtFlags::empty())?;
            }
        }
    }
    Ok(Stripped::Yes)
}

/// Whether a file is as good as new.
#[derive(PartialEq, Eq)]
enum Emptied {
    Yes,
    No,
}

fn empty(folder: &OwnedFd, name: &OsStr) -> io::Result<Emptied> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(folder, name, flags, Mode::empty()) else { return Ok(Emptied::No) };
    let stat = fstat(&file)?;
    let is_plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // As the supervisor makes them, but for what the umask takes away.
    let is_unchanged = stat.st_mode & 0o7777 & !0o644 == 0
        && stat.st_uid == geteuid().as_raw()
        && stat.st_nlink == 1;
    if !is_plain || !is_unchanged || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
    {
        return Ok(Emptied::No);
    }
    if stat.st_size > 0 {
        ftruncate(&file, 0)?;
    }
    Ok(Emptied::Yes)
}

/// The folder, if it is one of ours with this mode.
fn open_unchanged<P: rustix::path::Arg>(
    parent: BorrowedFd<'_>,
    name: P,
    mode: u32,
) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    let stat = fstat(&folder)?;
    let unchanged = stat.st_mode & 0o7777 == mode && stat.st_uid == geteuid().as_raw();
    Ok(unchanged.then_some(folder))
}

/// The names in a folder, or the first dozens of them.
fn some_names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
        if names.len() > 2 * INNER.len() {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::domain::ExecutionId;

    struct Bench {
        workdir: tempfile::TempDir,
        spares: SpareDirs,
    }

    impl Bench {
        fn new() -> Self {
            let workdir = tempfile::tempdir().unwrap();
            let spares = SpareDirs::open(workdir.path()).unwrap();
            Self { workdir, spares }
        }

        fn dirs(&self, execution: u64) -> TaskDirs {
            TaskDirs::new(self.workdir.path(), ExecutionId(execution))
        }

        fn create(&self, execution: u64) -> TaskDirs {
            let dirs = self.dirs(execution);
            self.spares.create(&dirs, Owner::default()).unwrap();
            fs::write(dirs.stdout(), "text").unwrap();
            dirs
        }

        /// Whether the folders of a task that did `change` serve the next one.
        fn serves_after(change: impl Fn(&TaskDirs)) -> bool {
            let bench = Self::new();
            let first = bench.create(1);
            let number = fs::metadata(first.root()).unwrap().ino();
            change(&first);
            bench.spares.remove(&first).unwrap();
            assert!(!first.root().exists());
            let kept = !bench.spares.stock().spares.is_empty();
            let second = bench.dirs(2);
            bench.spares.create(&second, Owner::default()).unwrap();
            assert_eq!(fs::read(second.stdout()).unwrap_or_default(), b"");
            assert_eq!(fs::read_dir(second.root()).unwrap().count(), INNER.len());
            assert!(!kept || fs::metadata(second.root()).unwrap().ino() == number);
            kept
        }
    }

    #[test]
    fn untouched_folders_serve_the_next_task() {
        assert!(Bench::serves_after(|_| {}));
        assert!(Bench::serves_after(|dirs| {
            fs::write(dirs.temp().join("gone"), "").unwrap();
            fs::remove_file(dirs.temp().join("gone")).unwrap();
        }));
    }

    #[test]
    fn folders_with_anything_left_or_changed_are_removed() {
        let write = |path: PathBuf| fs::write(path, "").unwrap();
        assert!(!Bench::serves_after(|dirs| write(dirs.output().join("result"))));
        assert!(!Bench::serves_after(|dirs| write(dirs.root().join("core"))));
        assert!(!Bench::serves_after(|dirs| write(dirs.log().join("other"))));
        assert!(!Bench::serves_after(|dirs| fs::remove_dir(dirs.input()).unwrap()));
        assert!(!Bench::serves_after(|dirs| {
            fs::remove_dir(dirs.input()).unwrap();
            std::os::unix::fs::symlink("/tmp", dirs.input()).unwrap();
        }));
        assert!(!Bench::serves_after(|dirs| {
            fs::set_permissions(dirs.temp(), fs::Permissions::from_mode(0o1777)).unwrap();
        }));
    }

    #[test]
    fn an_output_file_that_is_in_use_is_not_given_to_another_task() {
        let bench = Bench::new();
        let first = bench.create(1);
        let mut daemon = fs::OpenOptions::new().append(true).open(first.stdout()).unwrap();
        flock(&daemon, FlockOperation::NonBlockingLockShared).unwrap();
        fs::write(first.stderr(), "text").unwrap();
        bench.spares.remove(&first).unwrap();
        let second = bench.dirs(2);
        bench.spares.create(&second, Owner::default()).unwrap();
        daemon.write_all(b"late").unwrap();
        assert!(!second.stdout().exists());
        assert_eq!(fs::read(second.stderr()).unwrap(), b"");
    }

    #[test]
    fn an_output_file_with_another_name_or_mode_is_not_given_to_another_task() {
        let bench = Bench::new();
        let first = bench.create(1);
        let kept = bench.workdir.path().join("kept");
        fs::hard_link(first.stdout(), &kept).unwrap();
        fs::write(first.stderr(), "").unwrap();
        fs::set_permissions(first.stderr(), fs::Permissions::from_mode(0o666)).unwrap();
        bench.spares.remove(&first).unwrap();
        let second = bench.dirs(2);
        bench.spares.create(&second, Owner::default()).unwrap();
        assert_eq!(fs::read(kept).unwrap(), b"text");
        assert_eq!(fs::read_dir(second.log()).unwrap().count(), 0);
    }

    #[test]
    fn spare_folders_are_no_executions_and_go_with_the_next_start() {
        let bench = Bench::new();
        let dirs = bench.create(1);
        bench.spares.remove(&dirs).unwrap();
        assert_eq!(super::super::list_executions(bench.workdir.path()).unwrap(), []);
        SpareDirs::open(bench.workdir.path()).unwrap();
        assert_eq!(fs::read_dir(tasks(bench.workdir.path())).unwrap().count(), 0);
        // The stock of the first one is wrong now, which does no harm.
        assert!(bench.create(2).output().is_dir());
    }

    #[test]
    fn folders_that_are_gone_are_removed() {
        let bench = Bench::new();
        bench.spares.remove(&bench.dirs(1)).unwrap();
    }
}
