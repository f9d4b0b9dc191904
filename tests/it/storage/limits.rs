//! Limits on transfers: their rate, their time, and the room on the disk.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use scitq::storage::{RateLimit, StorageError, Transfer};

use super::peers;
use super::tree::{make_sparse, names};
use crate::harness::{AgentOptions, Server, until};

/// A small disk; gone with its value.
struct Disk(PathBuf);

impl Disk {
    /// None: this user may not mount.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let disk = Self(path.to_owned());
        if mount(path, &format!("size={size}")) {
            return Some(disk);
        }
        std::mem::forget(disk);
        peers::missing("leave to mount a small disk (root)")
    }

    fn grow(&self, size: &str) {
        assert!(mount(&self.0, &format!("remount,size={size}")));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(path: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path);
    command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}

#[tokio::test]
async fn transfers_keep_the_rate_that_they_are_given() {
    let Some(peer) = peers::sftp() else { return };
    make_sparse(&peer.path("send/a"), 1 << 20);
    make_sparse(&peer.path("send/b"), 1 << 20);
    let limited = || Transfer { limit: RateLimit::of(2 << 20), ..peer.transfer() };
    let least = Duration::from_millis(900);
    let start = Instant::now();
    let (folder, there) = (peer.path("send"), peer.uri("there/"));
    scitq::storage::send(&folder, &there, &limited()).await.unwrap();
    assert!(start.elapsed() > least, "sent in {:?}", start.elapsed());
    let start = Instant::now();
    peer.fetch_with("there/", "back", &limited()).await.unwrap();
    assert!(start.elapsed() > least, "fetched in {:?}", start.elapsed());
    let start = Instant::now();
    let here = format!("file://{}/", peer.path("here").display()).parse().unwrap();
    scitq::storage::send(&folder, &here, &limited()).await.unwrap();
    assert!(start.elapsed() > least, "copied in {:?}", start.elapsed());
    assert_eq!(names(&peer.path("here")), ["a", "b"]);
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_came_is_used_when_there_is_room() {
    let Some(peer) = peers::http() else { return };
    let Some(disk) = Disk::mount(&peer.path("small"), "4m") else { return };
    make_sparse(&peer.folder.join("big"), 10 << 20);
    let error = peer.fetch("big", "small/in").await.unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(error.is_transient());
    disk.grow("20m");
    let transfer = peer.transfer();
    peer.fetch_with("big", "small/in", &transfer).await.unwrap();
    assert!(transfer.progress.bytes() < 8 << 20, "{} bytes", transfer.progress.bytes());
    assert_eq!(names(&peer.path("small/in")), ["big"]);
    // The same from a folder of this machine.
    let uri = format!("file://{}/big", peer.folder.display()).parse().unwrap();
    let listing = scitq::storage::list(&uri, &Transfer::default()).await.unwrap();
    let (to, placement) = (peer.path("small/copy"), scitq::storage::Placement::Input);
    disk.grow("12m");
    let copied = scitq::storage::fetch(listing.into(), &to, placement, &Transfer::default()).await;
    assert!(matches!(copied, Err(StorageError::Io { .. })), "{copied:?}");
    assert_eq!(names(&to), Vec::<String>::new());
}

#[test]
fn a_worker_whose_disk_is_full_waits_for_room_and_goes_on() {
    let mut server = Server::start();
    let Some(disk) = Disk::mount(&server.path().join("work/worker"), "8m") else { return };
    let agent = server.agent(AgentOptions::default());
    make_sparse(&server.path().join("big"), 12 << 20);
    let input = format!("file://{}/big", server.path().display());
    let task = server.launch(&["-i", &input, "--shell", "--", "stat -c %s $INPUT/big"]);
    let log = server.path().join("logs/worker");
    until("the first try to fail", || {
        fs::read_to_string(&log).unwrap().contains("trying again").then_some(())
    });
    disk.grow("40m");
    server.wait_for(&task, &["succeeded"]);
    assert_eq!(server.stdout(&task), b"12582912\n");
    // A command that fills the disk itself fails, and its worker is well afterwards.
    let fill = server.launch(&["--shell", "--", "head -c 60M /dev/zero >$TEMP/all"]);
    let failed = server.wait_for(&fill, &["failed"]);
    assert_eq!(failed["failure"], "exit");
    let clean = ["manage", "worker", "clean", "worker", "--yes"];
    drop((server.scitq(&clean), agent));
    let next = server.launch(&["echo", "well"]);
    server.wait_for(&next, &["succeeded"]);
}

#[test]
fn an_agent_keeps_its_bandwidth_and_tells_how_data_get_on() {
    let mut server = Server::start();
    let env = [("SCITQ_AGENT_BANDWIDTH".to_owned(), "1M".to_owned())].into();
    server.agent(AgentOptions { env, ..AgentOptions::default() });
    make_sparse(&server.path().join("big"), 200 << 20);
    let input = format!("file://{}/big", server.path().display());
    let task = server.launch(&["-i", &input, "true"]);
    let transfer = until("the transfer to be told", || {
        let transfer = server.task(&task)["transfer"].clone();
        (transfer["bytes"].as_u64()? > 0).then_some(transfer)
    });
    assert_eq!(transfer["total"], 200 << 20);
    let rate = transfer["bytes_per_second"].as_u64().unwrap();
    assert!((1..3 << 20).contains(&rate), "{rate} bytes in a second");
    let shown = server.scitq(&["manage", "task", "show", &task]).ok();
    assert!(shown.text().contains("of 200.0 MiB") && shown.text().contains("left"), "{shown}");
    server.scitq(&["manage", "task", "cancel", &task, "--yes"]).ok();
    assert!(server.wait_for(&task, &["failed"])["transfer"].is_null());
}

#[test]
fn a_slow_server_ends_with_the_download_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap_or(0);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
            let _ = stream.write_all(head.as_bytes());
            if request[..count].starts_with(b"HEAD") {
                continue;
            }
            // A few bytes, and then nothing more.
            let _ = stream.write_all(b"slow");
            open.push(stream);
        }
    });
    let mut server = Server::start();
    let agent = server.agent(AgentOptions::default());
    let input = format!("http://127.0.0.1:{port}/reads");
    let task = server.launch(&["-i", &input, "--download-timeout", "1", "true"]);
    let failed = server.wait_for(&task, &["failed"]);
    assert_eq!(failed["failure"], "timeout");
    let reason = failed["failure_reason"].as_str().unwrap();
    assert!(reason.contains("1 s, the download limit"), "{reason}");
    let folder = server.workdir(agent).join("tasks").join(failed["execution"].to_string());
    until("its folder to go", || (!folder.exists()).then_some(()));
}
