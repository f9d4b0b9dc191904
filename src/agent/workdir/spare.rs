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
//!
//! A folder in which a name was added or removed, or whose mode or owner was
//! changed, has another date of change (`ctime`), which nobody can set. So the
//! inner folders of a spare one are not looked into again if they have the date
//! that they had, and that date is old enough to tell.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RawDir, RenameFlags, Stat, flock, fstat,
    ftruncate, openat, renameat_with, statat, unlinkat,
};
use rustix::process::geteuid;
use strum::IntoEnumIterator;

use super::{INNER, LOG, Owner, ROOT_MODE, TaskDirs, WorkdirError, remove_tree, tasks};
use crate::clock::SystemClock;
use crate::domain::execution::Stream;
use crate::domain::{Clock, Timestamp};

/// Most folders that are kept.
const MAX_SPARES: usize = 32;

/// Most folders of executions of which it is known what they were.
const MAX_GIVEN: usize = 10_000;

/// The dates of a file system may lag behind the clock by so many microseconds,
/// generously: the kernel takes them from its last tick.
const STEP_OF_DATES: i64 = 50_000;

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
    spares: Vec<Spare>,
    /// The spare folders that tasks have by now.
    given: HashMap<PathBuf, Given>,
    last_number: u64,
}

#[derive(Debug)]
struct Spare {
    path: PathBuf,
    inner: Inner,
}

#[derive(Debug)]
struct Given {
    at: Timestamp,
    inner: Inner,
}

/// What the inner folders were when nothing was left in them.
#[derive(Debug)]
struct Inner {
    seen: [Seen; INNER.len()],
    /// The output files that are there, empty.
    logs: Vec<OsString>,
}

/// What tells whether a folder is as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    inode: u64,
    mode: u32,
    changed: (i64, u64),
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
        let moved = renameat_with(CWD, &spare.path, CWD, dirs.root(), RenameFlags::NOREPLACE);
        if moved.is_ok() {
            self.give(dirs.root(), spare.inner);
        } else {
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
        if let Some(Spare { path, inner }) = spare
            && fs::rename(path, dirs.root()).is_ok()
        {
            self.give(dirs.root(), inner);
            return Ok(());
        }
        // The next `open` removes a spare folder that cannot be used.
        dirs.create(owner)
    }

    /// Remembers what an execution was given.
    fn give(&self, root: &Path, inner: Inner) {
        let mut stock = self.stock();
        if stock.given.len() >= MAX_GIVEN {
            // Those that were kept for people never come back.
            stock.given.clear();
        }
        stock.given.insert(root.to_owned(), Given { at: SystemClock.now().wall, inner });
    }

    /// As [`TaskDirs::remove`].
    ///
    /// # Errors
    /// Something cannot be removed; the rest may be gone.
    pub fn remove(&self, dirs: &TaskDirs) -> Result<(), WorkdirError> {
        if matches!(self.keep(dirs.root()), Ok(Kept::Yes)) { Ok(()) } else { dirs.remove() }
    }

    fn keep(&self, root: &Path) -> io::Result<Kept> {
        let given = {
            let mut stock = self.stock();
            let given = stock.given.remove(root);
            if stock.spares.len() >= MAX_SPARES {
                return Ok(Kept::No);
            }
            given
        };
        let Some(inner) = strip(root, given.as_ref())? else { return Ok(Kept::No) };
        let mut stock = self.stock();
        stock.last_number += 1;
        let path = self.tasks.join(format!("{PREFIX}{}", stock.last_number));
        fs::rename(root, &path)?;
        stock.spares.push(Spare { path, inner });
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

impl Seen {
    fn of(stat: &Stat) -> Self {
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        Self { inode: stat.st_ino, mode: stat.st_mode, changed }
    }

    /// Whether a change since that moment would show in the date: those of a
    /// file system advance in steps.
    fn tells_since(self, at: Timestamp) -> bool {
        let seconds = self.changed.0.saturating_mul(1_000_000);
        let micros = i64::try_from(self.changed.1 / 1_000).unwrap_or(i64::MAX);
        seconds.saturating_add(micros) < at.0.saturating_sub(STEP_OF_DATES)
    }
}

/// Empties or removes the output files, provided that nothing else is in the
/// folders and that they are as they were made; else none.
fn strip(root: &Path, given: Option<&Given>) -> io::Result<Option<Inner>> {
    let Some(root) = open_unchanged(CWD, root, ROOT_MODE)? else { return Ok(None) };
    if some_names(&root)?.len() != INNER.len() {
        return Ok(None);
    }
    let mut inner = Inner { seen: [Seen::default(); INNER.len()], logs: Vec::new() };
    for (position, (name, mode)) in INNER.into_iter().enumerate() {
        let known = given.and_then(|given| {
            given.inner.seen.get(position).copied().filter(|seen| seen.tells_since(given.at))
        });
        let is_known = match known {
            Some(known) => Seen::of(&statat(&root, name, AtFlags::SYMLINK_NOFOLLOW)?) == known,
            None => false,
        };
        let stripped = match (known.filter(|_| is_known), given) {
            (Some(seen), Some(_)) if name != LOG => Some((seen, Vec::new())),
            (Some(seen), Some(given)) => strip_logs(&root, seen, &given.inner.logs)?,
            _ => strip_folder(&root, name, mode)?,
        };
        let (Some((seen, logs)), Some(place)) = (stripped, inner.seen.get_mut(position)) else {
            return Ok(None);
        };
        *place = seen;
        inner.logs.extend(logs);
    }
    Ok(Some(inner))
}

/// What a folder is with nothing left in it, and the files that stay.
type Bare = Option<(Seen, Vec<OsString>)>;

fn strip_folder(root: &OwnedFd, name: &str, mode: u32) -> io::Result<Bare> {
    let Some(folder) = open_unchanged(root.as_fd(), name, mode)? else { return Ok(None) };
    let files = some_names(&folder)?;
    let is_log =
        |file: &OsString| name == LOG && Stream::iter().any(|stream| *file == <&str>::from(stream));
    if !files.iter().all(is_log) {
        return Ok(None);
    }
    let logs = empty_all(folder.as_fd(), Path::new(""), files)?;
    Ok(Some((Seen::of(&fstat(&folder)?), logs)))
}

/// The same for the folder of the output files, when these are known.
fn strip_logs(root: &OwnedFd, seen: Seen, files: &[OsString]) -> io::Result<Bare> {
    let logs = empty_all(root.as_fd(), Path::new(LOG), files.to_vec())?;
    if logs.len() == files.len() {
        return Ok(Some((seen, logs)));
    }
    let stat = statat(root, LOG, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Some((Seen::of(&stat), logs)))
}

/// Empties output files; those that cannot serve again are removed. Gives the
/// others.
fn empty_all(
    folder: BorrowedFd<'_>,
    below: &Path,
    files: Vec<OsString>,
) -> io::Result<Vec<OsString>> {
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        let path = below.join(&file);
        if empty(folder, &path)? == Emptied::Yes {
            kept.push(file);
        } else {
            unlinkat(folder, &path, AtFlags::empty())?;
        }
    }
    Ok(kept)
}

/// Whether a file is as good as new.
#[derive(PartialEq, Eq)]
enum Emptied {
    Yes,
    No,
}

fn empty(folder: BorrowedFd<'_>, name: &Path) -> io::Result<Emptied> {
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

    /// Folders that were spare for long enough are told by their dates alone.
    #[test]
    fn a_change_shows_in_folders_that_were_spare_before() {
        let serves = |change: fn(&TaskDirs)| {
            let bench = Bench::new();
            bench.spares.remove(&bench.create(1)).unwrap();
            let spare = bench.spares.stock().spares[0].path.clone();
            let old = || {
                let stock = bench.spares.stock();
                let now = SystemClock.now().wall;
                stock.spares[0].inner.seen.iter().all(|seen| seen.tells_since(now))
            };
            while !old() {
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            }
            let second = bench.create(2);
            assert!(!spare.exists());
            change(&second);
            bench.spares.remove(&second).unwrap();
            !bench.spares.stock().spares.is_empty()
        };
        assert!(serves(|_| {}));
        assert!(serves(|dirs| fs::remove_file(dirs.stderr()).unwrap_or_default()));
        assert!(!serves(|dirs| fs::write(dirs.temp().join("left"), "").unwrap()));
        assert!(!serves(|dirs| fs::write(dirs.log().join("left"), "").unwrap()));
        assert!(!serves(|dirs| fs::write(dirs.root().join("left"), "").unwrap()));
        assert!(!serves(|dirs| {
            fs::set_permissions(dirs.output(), fs::Permissions::from_mode(0o700)).unwrap();
        }));
        assert!(!serves(|dirs| {
            fs::remove_dir(dirs.input()).unwrap();
            std::os::unix::fs::symlink("/tmp", dirs.input()).unwrap();
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
