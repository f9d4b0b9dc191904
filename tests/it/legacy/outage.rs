//! A full disk: what old clients ask for meanwhile is done later, and once.

use std::fs;
use std::process::Command;

use super::{Old, own_address};
use crate::harness::{SCITQ, Server};
use crate::world::{World, until};

/// Queues a task in the background if need be, and says so.
const CLIENT: &str = "\
import os
from scitq.lib import Server
task = Server(style='object', put_timeout=5).task_create('true', name='once')
print('asked', flush=True)
print('made', task.task_id, flush=True)
os._exit(0)";

#[test]
fn what_an_old_client_asks_while_the_disk_is_full_is_done_once_when_it_is_not() {
    let is_root = rustix::process::getuid().is_root();
    if !is_root || !can_unshare() {
        eprintln!("SKIPPED: only root can mount a small disk");
        return;
    }
    if !super::is_installed() {
        return;
    }
    let host = own_address().to_string();
    let world = World::new();
    let data = world.path().join("data");
    fs::create_dir(&data).unwrap();
    // The small disk is seen by the server alone, and by others by way of its process.
    let serve = format!(
        "mount -t tmpfs -o size=4m none {data} && exec {SCITQ} serve --listen {host}:5000 \
         --data {data} --trust 127.0.0.0/8",
        data = data.display()
    );
    let mut command = world.command("unshare");
    command.args(["--mount", "sh", "-c", &serve]);
    let process = world.spawn("server", command);
    let old = Old { server: Server::of(world, &format!("{host}:5000")), host };
    let disk = format!("/proc/{}/root{}", process.id(), data.display());
    until("the server to serve", || {
        old.manage(&["-t", "1", "task", "list", "-H"]).status.success().then_some(())
    });
    let filler = format!("{disk}/filler");
    let full = vec![0; 8 << 20];
    until("the disk to be full", || {
        // As much as fits is written.
        let _ = fs::write(&filler, &full);
        let mut command = old.server.world().command(SCITQ);
        command.env("SCITQ_SERVER", format!("http://{}:5000", old.host));
        command.args(["launch", "--batch", "filling", "--", "echo", &"x".repeat(2_000)]);
        let refused = crate::world::Ran::of(command);
        refused.stderr.contains("the disk is full").then_some(())
    });
    let mut client = old.program("python");
    client.args(["-c", CLIENT]);
    let mut client = old.server.world().spawn("client", client);
    let log = old.server.path().join("logs/client");
    until("the client to have asked", || {
        fs::read_to_string(&log).unwrap().contains("asked").then_some(())
    });
    assert!(!fs::read_to_string(&log).unwrap().contains("made"));
    fs::remove_file(&filler).unwrap();
    let status = until("the client to end", || client.try_wait().unwrap());
    assert!(status.success() && fs::read_to_string(&log).unwrap().contains("made"), "{status}");
    let list = old.manage(&["task", "list", "-H"]).ok();
    assert_eq!(list.text().lines().filter(|line| line.contains("once")).count(), 1, "{list}");
}

fn can_unshare() -> bool {
    Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success())
}
