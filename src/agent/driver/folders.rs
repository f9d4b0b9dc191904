//! The directories of tasks: made in one thread, removed in another, so that
//! no start waits for the removal of a large tree.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedSender;

use crate::agent::cache::ResourceCache;
use crate::agent::fsm::{Culprit, Event, Files, Ground, Order, TransferFailure};
use crate::agent::workdir::{SpareDirs, TaskDirs, WorkdirError, list_executions};
use crate::api::worker::Clean;
use crate::clock::SystemClock;
use crate::domain::{Clock, ExecutionId, Timestamp};

use super::images::Images;

/// The two threads.
#[derive(Debug)]
pub struct Folders {
    to_make: Sender<Making>,
    to_remove: Sender<Removal>,
    cleaner: JoinHandle<()>,
    maker: Maker,
    held: HeldFolders,
    events: UnboundedSender<Event>,
}

/// What the threads work with.
#[derive(Debug)]
pub struct FolderCare {
    pub maker: Maker,
    pub cache: ResourceCache,
    pub images: Images,
    /// A disk fuller than this is cleaned, percent.
    pub max_used_percent: f64,
    /// For how long the files of a failed task are kept.
    pub keep_failed: Duration,
    /// The executions that the agent has.
    pub held: HeldFolders,
}

/// Makes and removes the directories of tasks.
#[derive(Debug, Clone)]
pub struct Maker {
    workdir: PathBuf,
    spares: Arc<SpareDirs>,
}

/// The directories that must not be cleaned away.
#[derive(Debug, Clone, Default)]
pub struct HeldFolders(Arc<Mutex<BTreeSet<ExecutionId>>>);

#[derive(Debug)]
struct Making {
    order: Arc<Order>,
    ground: Ground,
}

#[derive(Debug)]
enum Removal {
    Discard(Vec<(ExecutionId, Files)>),
    Clean,
    OnDemand(Clean),
}

/// The thread that removes.
struct Cleaner {
    maker: Maker,
    cache: ResourceCache,
    images: Images,
    keep_failed: Duration,
    max_used_percent: f64,
    held: HeldFolders,
}

/// A directory that is kept for people.
struct Kept {
    execution: ExecutionId,
    /// Since when.
    at: Timestamp,
}

impl HeldFolders {
    pub fn add(&self, execution: ExecutionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(execution);
    }

    fn remove(&self, execution: ExecutionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&execution);
    }

    fn has(&self, execution: ExecutionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&execution)
    }
}

impl Folders {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(care: FolderCare, events: UnboundedSender<Event>) -> io::Result<Self> {
        let FolderCare { maker, cache, images, max_used_percent, keep_failed, held } = care;
        let (to_make, makings) = channel();
        let (to_remove, removals) = channel();
        let cleaner = Cleaner {
            maker: maker.clone(),
            cache,
            images,
            keep_failed,
            max_used_percent,
            held: held.clone(),
        };
        let thread_maker = maker.clone();
        let own_events = events.clone();
        thread::Builder::new()
            .name("folders".to_owned())
            .spawn(move || thread_maker.make_all(&makings, &events))?;
        let cleaner = thread::Builder::new()
            .name("cleaner".to_owned())
            .spawn(move || cleaner.work(&removals))?;
        Ok(Self { to_make, to_remove, cleaner, maker, held, events: own_events })
    }

    /// For those who make a directory in a thread of their own.
    pub fn maker(&self) -> Maker {
        self.maker.clone()
    }

    /// Waits until everything that shall go is gone. Blocks.
    pub fn finish(self) {
        drop((self.to_make, self.to_remove));
        if self.cleaner.join().is_err() {
            tracing::error!("the thread that removes files has failed");
        }
    }

    /// Makes the directory of a task that fetches nothing, and says so. A spare
    /// one gets its new name on the spot: a thread would cost more than that.
    pub fn make(&self, order: Arc<Order>, ground: Ground) {
        let execution = order.execution;
        self.held.add(execution);
        if ground == Ground::Fresh && self.maker.takes_spare(&order) {
            drop(self.events.send(Event::Prepared { execution, result: Ok(()) }));
            return;
        }
        drop(self.to_make.send(Making { order, ground }));
    }

    /// Notes that the directory is in use. It is made by whoever fetches data.
    pub fn hold(&self, execution: ExecutionId) {
        self.held.add(execution);
    }

    /// The agent no longer holds these executions.
    pub fn discard(&self, gone: Vec<(ExecutionId, Files)>) {
        discard(&self.held, &self.to_remove, gone);
    }

    /// What does the same for one execution once it is called.
    pub fn discard_later(
        &self,
        execution: ExecutionId,
        files: Files,
    ) -> impl FnOnce() + Send + use<> {
        let (held, to_remove) = (self.held.clone(), self.to_remove.clone());
        move || discard(&held, &to_remove, vec![(execution, files)])
    }

    /// Removes at once what a person wants to be removed.
    pub fn clean_on_demand(&self, what: Clean) {
        drop(self.to_remove.send(Removal::OnDemand(what)));
    }

    /// Removes what was kept for long enough, and more when the disk is full.
    pub fn clean(&self) {
        drop(self.to_remove.send(Removal::Clean));
    }
}

fn discard(held: &HeldFolders, to_remove: &Sender<Removal>, gone: Vec<(ExecutionId, Files)>) {
    for (execution, _) in &gone {
        held.remove(*execution);
    }
    drop(to_remove.send(Removal::Discard(gone)));
}

impl Maker {
    /// # Errors
    /// What an agent before this one left cannot be removed.
    pub fn new(workdir: PathBuf) -> Result<Self, WorkdirError> {
        let spares = Arc::new(SpareDirs::open(&workdir)?);
        Ok(Self { workdir, spares })
    }

    /// Makes the directory of a task. Blocks.
    ///
    /// # Errors
    /// It cannot be made, or what is in its place cannot be removed.
    pub fn make(&self, order: &Order, ground: Ground) -> Result<(), WorkdirError> {
        let dirs = self.dirs(order.execution);
        let owner = (order.spec.uid, order.spec.gid);
        match (ground, dirs.root().exists()) {
            (_, false) => self.spares.create(&dirs, owner),
            (Ground::Begun | Ground::Edited, true) => dirs.create(owner),
            (Ground::Fresh, true) => {
                dirs.remove()?;
                dirs.create(owner)
            }
        }?;
        match &order.spec.stdin {
            Some(bytes) => dirs.write_stdin(bytes.as_bytes(), owner),
            None if ground == Ground::Edited => dirs.remove_stdin(),
            None => Ok(()),
        }
    }

    /// Whether a spare directory has become that of the task.
    fn takes_spare(&self, order: &Order) -> bool {
        let is_plain =
            order.spec.stdin.is_none() && (order.spec.uid, order.spec.gid) == (None, None);
        is_plain && self.spares.take(&self.dirs(order.execution))
    }

    fn make_all(&self, makings: &Receiver<Making>, events: &UnboundedSender<Event>) {
        while let Ok(Making { order, ground }) = makings.recv() {
            let result = self.make(&order, ground).map_err(|error| no_folder(&error));
            drop(events.send(Event::Prepared { execution: order.execution, result }));
        }
    }

    fn dirs(&self, execution: ExecutionId) -> TaskDirs {
        TaskDirs::new(&self.workdir, execution)
    }
}

/// The failure of a task whose directory cannot be made.
pub fn no_folder(error: &WorkdirError) -> TransferFailure {
    let reason = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    TransferFailure { reason, transient: false, culprit: Culprit::Worker }
}

impl Cleaner {
    fn work(&self, removals: &Receiver<Removal>) {
        while let Ok(removal) = removals.recv() {
            match removal {
                Removal::Discard(gone) => {
                    for (execution, files) in gone {
                        match files {
                            Files::Remove => self.remove(execution),
                            Files::Keep => self.date(execution),
                        }
                    }
                }
                Removal::Clean => self.clean(),
                Removal::OnDemand(Clean::Tasks) => self.clean_tasks(),
                Removal::OnDemand(Clean::Resources) => self.clean_resources(),
            }
        }
    }

    fn remove(&self, execution: ExecutionId) {
        if let Err(error) = self.maker.spares.remove(&self.maker.dirs(execution)) {
            tracing::warn!(%execution, error = %no_folder(&error).reason, "files are left behind");
        }
    }

    /// The date of the directory tells since when it is kept.
    fn date(&self, execution: ExecutionId) {
        let dirs = self.maker.dirs(execution);
        let now = u64::try_from(SystemClock.now().wall.0).unwrap_or(0);
        let date = SystemTime::UNIX_EPOCH + Duration::from_micros(now);
        let dated = File::open(dirs.root()).and_then(|folder| folder.set_modified(date));
        if let Err(error) = dated {
            tracing::debug!(%execution, %error, "cannot date the files of a failed task");
        }
    }

    fn clean(&self) {
        let kept = match self.kept() {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "cannot look for files to clean away");
                return;
            }
        };
        let now = SystemClock.now().wall;
        for Kept { execution, at } in kept {
            let age = now.seconds_since(at);
            let reason = if age > self.keep_failed.as_secs_f64() {
                "kept for long enough"
            } else if self.is_disk_full() {
                "the disk is full"
            } else {
                break;
            };
            if !self.held.has(execution) {
                tracing::info!(%execution, reason, "removing the files of a failed task");
                self.remove(execution);
            }
        }
        if self.is_disk_full() {
            self.evict_resources();
        }
        if let Err(error) = self.images.evict_while(|root| self.is_full(root)) {
            tracing::warn!(%error, "cannot remove unused images");
        }
    }

    fn clean_tasks(&self) {
        match self.kept() {
            Ok(kept) => {
                for Kept { execution, .. } in kept {
                    if !self.held.has(execution) {
                        tracing::info!(%execution, "removing the files of an ended task");
                        self.remove(execution);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for files to clean away"),
        }
    }

    fn clean_resources(&self) {
        match self.cache.evict_all() {
            Ok(evicted) => {
                for entry in evicted {
                    tracing::info!(?entry, "removed a resource that no task uses");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot remove unused resources"),
        }
    }

    /// The directories that are kept, oldest first.
    fn kept(&self) -> Result<Vec<Kept>, WorkdirError> {
        let executions = list_executions(&self.maker.workdir)?;
        let mut kept: Vec<Kept> = executions
            .into_iter()
            .filter(|execution| !self.held.has(*execution))
            .filter_map(|execution| {
                let modified =
                    fs::metadata(self.maker.dirs(execution).root()).ok()?.modified().ok()?;
                let since = modified.duration_since(SystemTime::UNIX_EPOCH).ok()?;
                let at = Timestamp(i64::try_from(since.as_micros()).ok()?);
                Some(Kept { execution, at })
            })
            .collect();
        kept.sort_by_key(|kept| kept.at);
        Ok(kept)
    }

    fn is_disk_full(&self) -> bool {
        self.is_full(&self.maker.workdir)
    }

    /// Whether the disk that a folder is on is fuller than it may be.
    #[expect(clippy::cast_precision_loss, reason = "a share of a disk, rounded")]
    fn is_full(&self, folder: &Path) -> bool {
        let Ok(disk) = rustix::fs::statvfs(folder) else { return false };
        let used = disk.f_blocks.saturating_sub(disk.f_bfree) as f64;
        let usable = used + disk.f_bavail as f64;
        usable > 0.0 && used / usable * 100.0 > self.max_used_percent
    }

    fn evict_resources(&self) {
        match self.cache.evict_until(100.0 - self.max_used_percent) {
            Ok(evicted) => {
                for entry in evicted {
                    tracing::info!(?entry, "removed a resource: the disk is full");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot remove unused resources"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        cleaner: Cleaner,
    }

    impl Bench {
        /// Kept are the executions 1 and 3 for an hour, 2 for a minute; 3 is held.
        fn new(keep_failed: Duration, max_used_percent: f64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let workdir = folder.path().to_owned();
            let held = HeldFolders::default();
            held.add(ExecutionId(3));
            for (number, age) in [(1, 3_600), (2, 60), (3, 3_600)] {
                let dirs = TaskDirs::new(&workdir, ExecutionId(number));
                dirs.create((None, None)).unwrap();
                let wall = u64::try_from(SystemClock.now().wall.0).unwrap();
                let date =
                    SystemTime::UNIX_EPOCH + Duration::from_micros(wall) - Duration::from_secs(age);
                File::open(dirs.root()).unwrap().set_modified(date).unwrap();
            }
            let cache = ResourceCache::open(&workdir, Arc::new(SystemClock)).unwrap();
            let images = Images::open(&workdir);
            let maker = Maker::new(workdir).unwrap();
            let cleaner = Cleaner { maker, cache, images, keep_failed, max_used_percent, held };
            Self { folder, cleaner }
        }

        fn cleaned(&self) -> Vec<u64> {
            self.cleaner.clean();
            let mut left: Vec<u64> = list_executions(self.folder.path())
                .unwrap()
                .into_iter()
                .map(|execution| execution.0)
                .collect();
            left.sort_unstable();
            left
        }
    }

    #[test]
    fn files_of_failures_go_after_their_time_and_those_in_use_stay() {
        assert_eq!(Bench::new(Duration::from_mins(30), 100.0).cleaned(), [2, 3]);
        assert_eq!(Bench::new(Duration::from_hours(2), 100.0).cleaned(), [1, 2, 3]);
    }

    #[test]
    fn all_that_is_not_in_use_goes_when_the_disk_is_full() {
        assert_eq!(Bench::new(Duration::from_hours(2), 0.0).cleaned(), [3]);
    }

    #[test]
    fn the_oldest_files_are_the_first_to_go() {
        let bench = Bench::new(Duration::from_hours(2), 100.0);
        let order: Vec<u64> =
            bench.cleaner.kept().unwrap().into_iter().map(|kept| kept.execution.0).collect();
        assert_eq!(order, [1, 2]);
    }

    #[test]
    fn what_is_kept_is_dated_anew() {
        let bench = Bench::new(Duration::from_mins(30), 100.0);
        bench.cleaner.date(ExecutionId(1));
        assert_eq!(bench.cleaned(), [1, 2, 3]);
    }

    #[test]
    fn fresh_ground_has_nothing_of_another_task() {
        let bench = Bench::new(Duration::from_hours(2), 100.0);
        let order = Order {
            execution: ExecutionId(1),
            task: crate::domain::TaskId(1),
            attempt: 1,
            revision: 0,
            store: (crate::domain::StoreId("s".to_owned()), crate::domain::Epoch(1)),
            spec: serde_json::from_str(r#"{"command":"true"}"#).unwrap(),
        };
        let dirs = TaskDirs::new(bench.folder.path(), ExecutionId(1));
        let file = dirs.input().join("file");
        fs::write(&file, "").unwrap();
        bench.cleaner.maker.make(&order, Ground::Begun).unwrap();
        assert!(file.exists());
        bench.cleaner.maker.make(&order, Ground::Fresh).unwrap();
        assert!(!file.exists());
        assert!(dirs.output().exists());
    }
}
