//! Behaviour of the cache, on real files.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::domain::uri::Uri;
use crate::domain::{Clock, Monotonic, Now, Timestamp};
use crate::storage::{self, StorageError, Transfer};

use super::flight::Flight;
use super::resources::entry_key;
use super::*;

/// A clock that shows a second more each time.
#[derive(Debug, Default)]
struct CountingClock(AtomicI64);

impl Clock for CountingClock {
    fn now(&self) -> Now {
        let seconds = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Now { wall: Timestamp(seconds * 1_000_000), monotonic: Monotonic(Duration::ZERO) }
    }
}

struct Scene {
    folder: TempDir,
    clock: Arc<CountingClock>,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn uri(&self, name: &str) -> Uri {
        format!("file://{}", self.path(name).display()).parse().unwrap()
    }

    fn folder_uri(&self, name: &str) -> Uri {
        format!("file://{}/", self.path(name).display()).parse().unwrap()
    }

    fn open(&self) -> ResourceCache {
        ResourceCache::open(&self.path("workdir"), Arc::clone(&self.clock) as Arc<dyn Clock>)
            .unwrap()
    }

    async fn key(&self, uri: &Uri) -> String {
        entry_key(&storage::list(uri, &Transfer::default()).await.unwrap())
    }

    fn link(&self, lease: &Lease, task: &str) -> PathBuf {
        let folder = self.path(task);
        fs::create_dir_all(&folder).unwrap();
        lease.link_into(&folder, &CancellationToken::new()).unwrap();
        folder
    }

    /// Names in the cache's folder.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("workdir/resources")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The lease, and how many bytes were copied for it.
async fn acquire(cache: &ResourceCache, uri: &Uri) -> (Lease, u64) {
    let transfer = Transfer::default();
    let lease = cache.acquire(uri, &transfer).await.unwrap();
    (lease, transfer.progress.bytes())
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn fifty_tasks_that_want_one_resource_fetch_it_once() {
    let scene = Scene::new();
    scene.file("db/index", "0123456789");
    scene.file("db/below/more", "01234");
    let cache = scene.open();
    let uri = scene.folder_uri("db");
    let leases = join_all((0..50).map(|_| acquire(&cache, &uri))).await;
    assert_eq!(leases.iter().map(|(_, copied)| copied).sum::<u64>(), 15);
    let first = scene.link(&leases[0].0, "task1");
    let second = scene.link(&leases[49].0, "task2");
    let inode = |folder: &Path| fs::metadata(folder.join("below/more")).unwrap().ino();
    assert_eq!(inode(&first), inode(&second));
    assert_eq!(read(first.join("index")), "0123456789");
}

#[tokio::test]
async fn what_a_task_sees_cannot_be_written_to_and_keeps_its_date() {
    let scene = Scene::new();
    let path = scene.file("tool", "#!/bin/sh\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    File::options().append(true).open(&path).unwrap().set_modified(UNIX_EPOCH).unwrap();
    let (lease, _) = acquire(&scene.open(), &scene.uri("tool")).await;
    let metadata = fs::metadata(scene.link(&lease, "task").join("tool")).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o555);
    assert_eq!(metadata.modified().unwrap(), UNIX_EPOCH);
}

#[tokio::test]
async fn a_changed_source_is_fetched_again_and_tasks_keep_what_they_have() {
    let scene = Scene::new();
    scene.file("db/index", "old");
    let cache = scene.open();
    let uri = scene.folder_uri("db");
    let (lease, _) = acquire(&cache, &uri).await;
    let before = scene.link(&lease, "before");
    scene.file("db/index", "newer");
    scene.file("db/more", "x");
    let (lease, copied) = acquire(&cache, &uri).await;
    let after = scene.link(&lease, "after");
    assert_eq!(copied, 6);
    assert_eq!(read(before.join("index")), "old");
    assert!(!before.join("more").exists());
    assert_eq!(read(after.join("index")), "newer");
    assert_eq!(scene.kept().len(), 2);
}

#[tokio::test]
async fn entries_are_kept_across_restarts() {
    let scene = Scene::new();
    scene.file("a", "aa");
    scene.file("b", "b");
    {
        let cache = scene.open();
        acquire(&cache, &scene.uri("b")).await;
        acquire(&cache, &scene.uri("a")).await;
    }
    assert_eq!(acquire(&scene.open(), &scene.uri("a")).await.1, 0);
    // The dates of their last use are kept as well: `b` is the older one.
    let evicted = scene.open().evict_while(|_| Ok(scene.kept().len() > 1)).unwrap();
    assert_eq!(evicted, [Evicted { uri: scene.uri("b").to_string(), bytes: 1 }]);
}

#[tokio::test]
async fn an_entry_that_somebody_wrote_to_is_fetched_again() {
    let scene = Scene::new();
    scene.file("db", "good");
    let cache = scene.open();
    let uri = scene.uri("db");
    let (lease, _) = acquire(&cache, &uri).await;
    let linked = scene.link(&lease, "task").join("db");
    fs::set_permissions(&linked, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&linked, "spoilt").unwrap();
    let (lease, copied) = acquire(&cache, &uri).await;
    assert_eq!(copied, 4);
    assert_eq!(read(scene.link(&lease, "other").join("db")), "good");
    assert_eq!(scene.kept().len(), 1);
}

#[tokio::test]
async fn a_failure_reaches_all_who_wait_and_is_not_remembered() {
    let scene = Scene::new();
    scene.file("db", "content");
    let cache = scene.open();
    let uri = scene.uri("db");
    let obstacle = format!("workdir/resources/.partial-{}/files", scene.key(&uri).await);
    let obstacle = scene.file(&obstacle, "in the way");
    let transfer = Transfer::default();
    for result in join_all((0..5).map(|_| cache.acquire(&uri, &transfer))).await {
        assert!(matches!(result, Err(StorageError::Io { .. })), "{result:?}");
    }
    fs::remove_file(obstacle).unwrap();
    assert_eq!(acquire(&cache, &uri).await.1, 7);
}

#[tokio::test]
async fn a_missing_source_is_an_error_even_when_it_was_here_before() {
    let scene = Scene::new();
    let path = scene.file("db", "content");
    let cache = scene.open();
    acquire(&cache, &scene.uri("db")).await;
    fs::remove_file(path).unwrap();
    let error = cache.acquire(&scene.uri("db"), &Transfer::default()).await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn after_a_kill_a_fetch_takes_up_what_is_there() {
    let scene = Scene::new();
    let big = scene.file("db/big", "0123456789");
    scene.file("db/small", "01");
    let uri = scene.folder_uri("db");
    let key = scene.key(&uri).await;
    // The first file is whole, the second one was being written, and an
    // eviction and a removal were under way.
    let there = scene.file(&format!("workdir/resources/.partial-{key}/files/big"), "0123456789");
    let date = fs::metadata(big).unwrap().modified().unwrap();
    File::options().append(true).open(there).unwrap().set_modified(date).unwrap();
    let other = "0123456789abcdef0123456789abcdef";
    scene.file(&format!("workdir/resources/.evicted-{other}/files/x"), "");
    scene.file(&format!("workdir/resources/{other}/files/x"), "");
    scene.file("workdir/resources/somebody-elses", "");

    let cache = scene.open();
    assert_eq!(acquire(&cache, &uri).await.1, 2);
    let mut expected = vec![key, "somebody-elses".to_owned()];
    expected.sort();
    assert_eq!(scene.kept(), expected);
}

#[tokio::test]
async fn eviction_takes_the_least_recently_used_and_nothing_in_use() {
    let scene = Scene::new();
    let cache = scene.open();
    for name in ["leased", "linked", "idle1", "idle2"] {
        scene.file(name, name);
    }
    let (leased, _) = acquire(&cache, &scene.uri("leased")).await;
    let (linked, _) = acquire(&cache, &scene.uri("linked")).await;
    let task = scene.link(&linked, "task");
    drop(linked);
    acquire(&cache, &scene.uri("idle1")).await;
    acquire(&cache, &scene.uri("idle2")).await;
    acquire(&cache, &scene.uri("idle1")).await;

    let uris = |evicted: Vec<Evicted>| -> Vec<String> {
        evicted.into_iter().map(|entry| entry.uri).collect()
    };
    let evicted = cache.evict_while(|_| Ok(scene.kept().len() > 3)).unwrap();
    assert_eq!(uris(evicted), [scene.uri("idle2").to_string()]);
    let evicted = cache.evict_while(|_| Ok(true)).unwrap();
    assert_eq!(uris(evicted), [scene.uri("idle1").to_string()]);
    assert_eq!(scene.kept().len(), 2);

    drop(leased);
    fs::remove_dir_all(task).unwrap();
    assert_eq!(cache.evict_while(|_| Ok(true)).unwrap().len(), 2);
    assert!(scene.kept().is_empty());
    assert_eq!(acquire(&cache, &scene.uri("idle1")).await.1, 5);
}

#[tokio::test]
async fn unfinished_fetches_go_first_unless_they_are_under_way() {
    let scene = Scene::new();
    scene.file("a", "a");
    let cache = scene.open();
    acquire(&cache, &scene.uri("a")).await;
    let (left, wanted) = ("a".repeat(32), "b".repeat(32));
    for key in [&left, &wanted] {
        scene.file(&format!("workdir/resources/.partial-{key}/files/x"), "x");
    }
    let (flight, passenger, _ended, _cancel) = Flight::depart();
    cache.state().flights.insert(wanted.clone(), flight);
    let is_short = |_: &store::Store| Ok(scene.kept().len() > 2);
    assert!(cache.evict_while(is_short).unwrap().is_empty());
    assert_eq!(scene.kept().len(), 2);
    assert!(scene.kept().contains(&format!(".partial-{wanted}")));
    drop(passenger);
}

#[tokio::test]
async fn a_disk_with_space_keeps_all() {
    let scene = Scene::new();
    scene.file("a", "a");
    let cache = scene.open();
    acquire(&cache, &scene.uri("a")).await;
    assert!(cache.evict_until(0.0).unwrap().is_empty());
    assert_eq!(cache.evict_until(100.0).unwrap().len(), 1);
}

#[tokio::test]
async fn a_task_that_comes_while_a_fetch_is_cancelled_waits_for_its_end() {
    let scene = Scene::new();
    scene.file("a", "aaa");
    let cache = scene.open();
    let uri = scene.uri("a");
    let key = scene.key(&uri).await;
    let (flight, passenger, ended, _cancel) = Flight::depart();
    cache.state().flights.insert(key.clone(), flight);
    drop(passenger);
    let finish = async {
        // The cache keeps one receiver; the second one is that of who waits.
        while ended.receiver_count() < 2 {
            tokio::task::yield_now().await;
        }
        cache.state().flights.remove(&key);
        let error = StorageError::Cancelled { uri: uri.to_string() };
        ended.send(Some(Err(error))).unwrap();
    };
    let ((_, copied), ()) = tokio::join!(acquire(&cache, &uri), finish);
    assert_eq!(copied, 3);
}

#[tokio::test]
async fn who_is_cancelled_stops_waiting_and_the_others_go_on() {
    let scene = Scene::new();
    scene.file("a", "aaa");
    let cache = scene.open();
    let uri = scene.uri("a");
    let stopped = Transfer::default();
    stopped.cancel.cancel();
    let transfer = Transfer::default();
    let (stopped, other) =
        tokio::join!(cache.acquire(&uri, &stopped), cache.acquire(&uri, &transfer));
    assert!(matches!(stopped, Err(StorageError::Cancelled { .. })));
    assert_eq!(other.unwrap().listing().bytes(), 3);
}

#[tokio::test]
async fn a_later_resource_replaces_an_earlier_one() {
    let scene = Scene::new();
    scene.file("one/x", "file");
    scene.file("one/y/z", "folder");
    scene.file("two/x/w", "folder");
    scene.file("two/y", "file");
    let cache = scene.open();
    let (one, _) = acquire(&cache, &scene.folder_uri("one")).await;
    let (two, _) = acquire(&cache, &scene.folder_uri("two")).await;
    scene.link(&one, "task");
    let folder = scene.link(&two, "task");
    assert_eq!(read(folder.join("x/w")), "folder");
    assert_eq!(read(folder.join("y")), "file");
}

#[tokio::test]
async fn where_no_link_is_possible_a_copy_is_made() {
    let scene = Scene::new();
    let path = scene.file("a", "aaa");
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no `/dev/shm`");
        return;
    };
    let (lease, _) = acquire(&scene.open(), &scene.uri("a")).await;
    lease.link_into(elsewhere.path(), &CancellationToken::new()).unwrap();
    let copy = fs::metadata(elsewhere.path().join("a")).unwrap();
    assert_eq!(copy.mode() & 0o777, 0o444);
    assert_eq!(copy.modified().unwrap(), fs::metadata(path).unwrap().modified().unwrap());
}
