//! Resources that come over the network and are unpacked: once per worker.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures_util::future::join_all;
use scitq::agent::cache::{Lease, ResourceCache};
use scitq::clock::SystemClock;
use scitq::storage::{StorageError, Transfer};

use super::peers::{self, Peer};
use super::tree::{make_sparse, names, write};

fn cache(peer: &Peer) -> ResourceCache {
    ResourceCache::open(&peer.path("work"), Arc::new(SystemClock)).unwrap()
}

/// An archive of files, on the server.
fn make_archive(peer: &Peer, name: &str, files: &[(&str, &[u8])]) {
    let folder = peer.path("packed");
    let _ = fs::remove_dir_all(&folder);
    for (file, content) in files {
        write(&folder.join(file), content);
    }
    pack(&folder, &peer.folder.join(name));
}

fn pack(folder: &Path, archive: &Path) {
    let mut command = Command::new("tar");
    command.arg("-C").arg(folder).arg("-cf").arg(archive).arg(".");
    assert!(command.status().unwrap().success());
}

async fn acquire(
    cache: &ResourceCache,
    peer: &Peer,
    name: &str,
) -> Result<(Lease, u64), StorageError> {
    let transfer = peer.transfer();
    let lease = cache.acquire(&peer.uri(name), &transfer).await?;
    Ok((lease, transfer.progress.bytes()))
}

fn link(peer: &Peer, leases: &[&Lease], task: &str) -> Vec<String> {
    let folder = peer.path(task);
    fs::create_dir_all(&folder).unwrap();
    for lease in leases {
        lease.link_into(&folder, &Transfer::default().cancel).unwrap();
    }
    names(&folder)
}

#[tokio::test]
async fn fifty_tasks_fetch_and_unpack_one_archive_once() {
    let Some(peer) = peers::http() else { return };
    make_sparse(&peer.path("packed/index/big"), 200 << 20);
    write(&peer.path("packed/index/small"), b"small");
    pack(&peer.path("packed"), &peer.folder.join("index.tar"));
    let bytes = fs::metadata(peer.folder.join("index.tar")).unwrap().len();
    let cache = cache(&peer);
    let wanted = (0..50).map(|_| acquire(&cache, &peer, "index.tar|untar"));
    let leases: Vec<(Lease, u64)> =
        join_all(wanted).await.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(leases.iter().map(|(_, copied)| copied).sum::<u64>(), bytes);
    for task in ["first", "last"] {
        let lease = if task == "first" { &leases[0].0 } else { &leases[49].0 };
        assert_eq!(link(&peer, &[lease], task), ["index/", "index/big", "index/small"]);
    }
    let inode = |task: &str| fs::metadata(peer.path(task).join("index/big")).unwrap().ino();
    assert_eq!(inode("first"), inode("last"));
    assert_eq!(fs::read_dir(peer.path("work/resources")).unwrap().count(), 1);
    // After a restart it is still there.
    drop((leases, cache));
    let (_, copied) = acquire(&self::cache(&peer), &peer, "index.tar|untar").await.unwrap();
    assert_eq!(copied, 0);
}

#[tokio::test]
async fn a_fetch_that_was_cut_by_a_restart_goes_on() {
    let Some(peer) = peers::http() else { return };
    make_sparse(&peer.path("packed/big"), 100 << 20);
    pack(&peer.path("packed"), &peer.folder.join("x.tar"));
    let bytes = fs::metadata(peer.folder.join("x.tar")).unwrap().len();
    let transfer = peer.transfer();
    let (cancel, progress) = (transfer.cancel.clone(), transfer.progress.clone());
    let watch = tokio::spawn(async move {
        while progress.bytes() < 8 << 20 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    let uri = peer.uri("x.tar|untar");
    let first = cache(&peer).acquire(&uri, &transfer).await;
    watch.abort();
    let (lease, copied) = acquire(&cache(&peer), &peer, "x.tar|untar").await.unwrap();
    assert!(first.is_ok() || copied < bytes, "{copied} of {bytes}");
    assert_eq!(link(&peer, &[&lease], "task"), ["big"]);
}

#[tokio::test]
async fn a_changed_archive_is_fetched_again_and_tasks_keep_the_old_one() {
    let Some(peer) = peers::http() else { return };
    let cache = cache(&peer);
    make_archive(&peer, "db.tar", &[("version", b"1")]);
    let (old, _) = acquire(&cache, &peer, "db.tar|untar|mv:db").await.unwrap();
    assert_eq!(link(&peer, &[&old], "old"), ["db/", "db/version"]);
    // Of another size: the server tells dates by the second.
    make_archive(&peer, "db.tar", &[("version", b"two"), ("more", &vec![b'x'; 50_000])]);
    let (new, copied) = acquire(&cache, &peer, "db.tar|untar|mv:db").await.unwrap();
    assert!(copied > 0);
    assert_eq!(link(&peer, &[&new], "new"), ["db/", "db/more", "db/version"]);
    assert_eq!(fs::read(peer.path("old/db/version")).unwrap(), b"1");
}

#[tokio::test]
async fn of_two_archives_the_later_one_wins_in_either_order() {
    let Some(peer) = peers::http() else { return };
    let cache = cache(&peer);
    make_archive(&peer, "1.tar", &[("same", b"1"), ("one", b"")]);
    make_archive(&peer, "2.tar", &[("same", b"2"), ("two", b"")]);
    let (one, _) = acquire(&cache, &peer, "1.tar|untar").await.unwrap();
    let (two, _) = acquire(&cache, &peer, "2.tar|untar").await.unwrap();
    for (leases, task, winner) in [([&one, &two], "12", b"2"), ([&two, &one], "21", b"1")] {
        assert_eq!(link(&peer, &leases, task), ["one", "same", "two"]);
        assert_eq!(fs::read(peer.path(task).join("same")).unwrap(), winner);
    }
}

#[tokio::test]
async fn a_damaged_archive_is_an_error_until_it_is_whole() {
    let Some(peer) = peers::http() else { return };
    let cache = cache(&peer);
    make_archive(&peer, "x.tar", &[("a", &vec![b'x'; 50_000])]);
    let whole = fs::read(peer.folder.join("x.tar")).unwrap();
    fs::write(peer.folder.join("x.tar"), &whole[..20_000]).unwrap();
    let error = acquire(&cache, &peer, "x.tar|untar").await.unwrap_err();
    assert!(matches!(error, StorageError::Archive { .. }), "{error}");
    assert!(!error.is_transient());
    assert_eq!(fs::read_dir(peer.path("work/resources")).unwrap().count(), 0);
    fs::write(peer.folder.join("x.tar"), whole).unwrap();
    let (lease, _) = acquire(&cache, &peer, "x.tar|untar").await.unwrap();
    assert_eq!(link(&peer, &[&lease], "task"), ["a"]);
}

#[tokio::test]
async fn an_archive_that_writes_outside_is_refused() {
    let Some(peer) = peers::http() else { return };
    write(&peer.path("packed/evil"), b"x");
    let mut command = Command::new("tar");
    command.arg("-C").arg(peer.path("packed")).args(["--transform", "s,evil,../../evil,"]);
    command.arg("-P").arg("-cf").arg(peer.folder.join("evil.tar")).arg("evil");
    assert!(command.status().unwrap().success());
    let error = acquire(&cache(&peer), &peer, "evil.tar|untar").await.unwrap_err().to_string();
    assert!(error.contains("a path that leads outside its folder"), "{error}");
}
