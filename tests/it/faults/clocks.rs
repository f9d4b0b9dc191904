//! The date jumps, on the server and on a worker.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::chance::{Chance, Size, rounds};
use super::checks::Allowed;
use super::scene::Scene;
use crate::harness::{AgentOptions, Server, World};

const SMALL: Size = Size { tasks: 160, faults: 4 };
const LARGE: Size = Size { tasks: 2_000, faults: 20 };

/// Where Debian keeps the library that tells programs another date.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut found = folders.map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let found = found.find(|path| path.exists());
    if found.is_none() {
        let said = "SKIPPED: jumps of the clock need the package libfaketime";
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("{said}");
    }
    found
}

/// Programs with these variables are told a date by that file, and the time since
/// boot as it is.
fn variables(library: &Path, file: &Path) -> BTreeMap<String, String> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    [
        ("LD_PRELOAD", text(library)),
        ("FAKETIME_TIMESTAMP_FILE", text(file)),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// An hour ahead, an hour back, or the date that it is.
fn jump(chance: &mut Chance, file: &Path) {
    let seconds = ["+3600", "-3600", "+0"][usize::try_from(chance.below(3)).unwrap()];
    let draft = file.with_extension("new");
    fs::write(&draft, format!("{seconds}\n")).unwrap();
    fs::rename(draft, file).unwrap();
}

#[test]
fn jumps_of_the_clock_by_an_hour_change_nothing() {
    rounds("jumps_of_the_clock", SMALL, LARGE, |chance, size| {
        let Some(library) = library() else { return };
        let world = World::new();
        let files = ["server-date", "worker-date"].map(|name| world.path().join(name));
        for file in &files {
            fs::write(file, "+0\n").unwrap();
        }
        let server = Server::start_with_env(world, &[], variables(&library, &files[0]));
        let mut scene = Scene::new(server);
        for (name, file) in [("a", &files[1]), ("b", &files[0])] {
            let env = variables(&library, file);
            scene.agent(AgentOptions { name: name.to_owned(), env, ..AgentOptions::default() });
        }
        // A limit that an hour would pass, and a minute does not.
        scene.server.scitq(&["manage", "batch", "update", "Default", "--run-timeout", "600"]).ok();
        scene.launch_many(size.tasks);
        fs::write(&files[0], "+3600\n").unwrap();
        for _ in 0..size.faults {
            scene.progress(chance, size);
            let file = usize::try_from(chance.below(2)).unwrap();
            jump(chance, &files[file]);
        }
        fs::write(&files[0], "-3600\n").unwrap();
        scene.server.launch(&["true"]);
        let dates = "SELECT (max(created_at) - min(created_at)) / 1000000 FROM task";
        let apart: u64 = scene.ask(dates).unwrap()[0].parse().unwrap();
        assert!(apart > 3_000, "the server has seen no jump: {apart} s");
        scene.finish(&Allowed::default());
    });
}
