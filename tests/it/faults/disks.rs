//! The server's disk is full, and then is not.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::chance::{Size, rounds};
use super::checks::Allowed;
use super::launcher::{Launcher, Mode, Order, Sends};
use super::scene::Scene;
use crate::harness::{AgentOptions, Server, World, until};

const SMALL: Size = Size { tasks: 120, faults: 2 };
const LARGE: Size = Size { tasks: 1_000, faults: 8 };

/// A small disk of its own, in memory, for as long as this lives.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn mount(path: &Path, size: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            let said = "SKIPPED: only root can mount a small disk";
            assert!(std::env::var_os("CI").is_none(), "{said}");
            eprintln!("{said}");
            return None;
        }
        fs::create_dir(path).unwrap();
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).status();
        assert!(mounted.unwrap().success(), "cannot mount a small disk at {}", path.display());
        Some(Self { path: path.to_owned() })
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for piece in [64 << 10, 4 << 10, 1] {
            let bytes = vec![0; piece];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The server may still be there: the place goes with its last file.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

#[test]
fn a_full_disk_of_the_server_loses_nothing_and_is_got_over() {
    rounds("a_full_disk", SMALL, LARGE, |chance, size| {
        let world = World::new();
        let Some(disk) = Disk::mount(&world.path().join("data"), "64m") else { return };
        let mut scene = Scene::new(Server::start_in(world, &[]));
        for name in ["a", "b"] {
            scene.agent(AgentOptions { name: name.to_owned(), ..AgentOptions::default() });
        }
        let running = scene.launch_waiting("running", 4, Sends::Results);
        let runs = "SELECT id FROM execution WHERE state = 'running'";
        scene.until_rows("the tasks to run", running.len(), runs);
        scene.launch_many(size.tasks);
        for number in 0..size.faults {
            scene.progress(chance, size);
            disk.fill();
            refused_for_want_of_room(&scene, number);
            if number == 0 {
                // These end while the server can write nothing down.
                scene.go();
            }
            chance.pause(std::time::Duration::from_millis(500));
            disk.free();
        }
        scene.finish(&Allowed::default());
        drop(disk);
    });
}

/// Reads are answered, and changes are refused with the reason; a server that is
/// stopped then says so.
fn refused_for_want_of_room(scene: &Scene, number: usize) {
    let launcher = Launcher::new(&scene.server, "full", None);
    let order = Order { modes: vec![Mode::Quick; 400], sends: Sends::Nothing };
    let mut count = number * 1_000;
    until("a change to be refused", || {
        count += 1;
        launcher.launch(count, &order).is_none().then_some(())
    });
    let ran = scene.server.scitq(&["launch", "true"]);
    assert!(ran.status.code() == Some(75) && ran.stderr.contains("full"), "{ran}");
    scene.server.scitq(&["manage", "task", "list", "--limit", "5"]).ok();
}
