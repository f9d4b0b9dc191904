//! The server is killed at every step of creating, deploying and destroying a machine:
//! afterwards each machine is a worker that works, or gone; none is forgotten, and none
//! is there twice.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::{SCITQ, Server, World, until};
use crate::hiring::{list, until_nothing_is_left_of};

/// A step at which the program that creates or destroys stands still.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It was asked, and has done nothing.
    Asked,
    /// It has done all, and has not answered.
    Done,
}

/// A script that goes on only once its gates are open: `NAME-asked` before the real
/// one, `NAME-done` after it.
fn gated(folder: &Path, name: &str) -> PathBuf {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/command-provider").join(name);
    let (path, gates) = (folder.join(name), folder.display());
    let script = format!(
        "#!/bin/sh\n\
         export PLACE={gates}/machines SCITQ={SCITQ}\n\
         at() {{ touch {gates}/{name}-$1.reached; until [ -e {gates}/open ] || [ -e {gates}/{name}-$1.open ]; do sleep 0.02; done; }}\n\
         asked=$(cat)\n\
         at asked\n\
         answer=$(printf '%s\\n' \"$asked\" | {})\n\
         at done\n\
         printf '%s\\n' \"$answer\"\n",
        real.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn scene() -> Server {
    let world = World::new();
    let folder = world.path().to_owned();
    fs::create_dir_all(folder.join("machines")).unwrap();
    let (create, destroy) = (gated(&folder, "create"), gated(&folder, "destroy"));
    let list = gated(&folder, "list");
    // Lists wait at no gate.
    fs::write(folder.join("list-asked.open"), "").unwrap();
    fs::write(folder.join("list-done.open"), "").unwrap();
    let file = folder.join("server.toml");
    // The address is that of the server, whatever its port: it is set below.
    let toml = |address: &str| {
        format!(
            "[hiring]\nname = \"lab\"\naddress = \"{address}\"\nlocal = false\n\
             sweep_minutes = 0.01\n\
             [providers.site]\nkind = \"command\"\ncreate = [{create:?}]\n\
             destroy = [{destroy:?}]\nlist = [{list:?}]\n\
             [[providers.site.flavor]]\nname = \"box\"\ncpu = 1\ncost = 0.5\ncurrency = \"EUR\"\n"
        )
    };
    fs::write(&file, toml("http://127.0.0.1:1")).unwrap();
    let path = file.to_str().unwrap().to_owned();
    let mut server = Server::start_in(world, &["--config", &path]);
    fs::write(&file, toml(&server.url())).unwrap();
    server.stop();
    server.restart();
    until("the flavors to be known", || (!list_of(&server, "flavor").is_empty()).then_some(()));
    server
}

fn list_of(server: &Server, object: &str) -> Vec<serde_json::Value> {
    list(server, object)
}

fn machines(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(server.path().join("machines")).unwrap();
    let names = entries.flatten().map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn reached(server: &Server, gate: &str) {
    let path = server.path().join(format!("{gate}.reached"));
    until(&format!("{gate} to be reached"), || path.exists().then_some(()));
}

/// Kills the server, starts it again, and lets all programs go on.
fn killed(server: &mut Server) {
    server.kill9();
    server.restart();
    fs::write(server.path().join("open"), "").unwrap();
}

fn until_one_works(server: &Server) {
    until("one worker to work", || {
        let workers = list(server, "worker");
        (workers.len() == 1 && workers[0]["state"] == "running").then_some(())
    });
    assert_eq!(machines(server), ["lab-node1"]);
}

#[test]
fn a_server_that_is_killed_while_it_creates_makes_one_machine_all_the_same() {
    for step in [Step::Asked, Step::Done] {
        let mut server = scene();
        server.scitq(&["manage", "worker", "deploy", "--flavor", "box", "--no-wait"]).ok();
        match step {
            Step::Asked => reached(&server, "create-asked"),
            Step::Done => {
                fs::write(server.path().join("create-asked.open"), "").unwrap();
                reached(&server, "create-done");
            }
        }
        killed(&mut server);
        until_one_works(&server);
        let task = server.launch(&["echo", "alive"]);
        server.wait_for(&task, &["succeeded"]);
        server.scitq(&["manage", "worker", "delete", "--yes", "lab-node1"]).ok();
        until_nothing_is_left_of(&server, &server.path().join("machines"));
    }
}

#[test]
fn a_server_that_is_killed_while_it_destroys_forgets_no_machine() {
    for step in [Step::Asked, Step::Done] {
        let mut server = scene();
        let folder = server.path().to_owned();
        for gate in ["create-asked", "create-done"] {
            fs::write(folder.join(format!("{gate}.open")), "").unwrap();
        }
        server.scitq(&["manage", "worker", "deploy", "--flavor", "box"]).ok();
        server.scitq(&["manage", "worker", "delete", "--yes", "lab-node1"]).ok();
        match step {
            Step::Asked => reached(&server, "destroy-asked"),
            Step::Done => {
                fs::write(folder.join("destroy-asked.open"), "").unwrap();
                reached(&server, "destroy-done");
            }
        }
        killed(&mut server);
        until_nothing_is_left_of(&server, &folder.join("machines"));
    }
}

#[test]
fn a_machine_that_nobody_knows_is_listed_and_then_destroyed() {
    let server = scene();
    let folder = server.path().to_owned();
    fs::write(folder.join("open"), "").unwrap();
    // What a database that was lost would have left.
    let place = folder.join("machines/lab-node77");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("pid"), "999999999").unwrap();
    fs::write(place.join("region"), "here").unwrap();
    let orphans = || {
        let providers = list(&server, "provider");
        providers[0]["orphans"].as_array().cloned().unwrap_or_default()
    };
    until("the machine to be listed", || (orphans().len() == 1).then_some(()));
    assert_eq!(orphans()[0]["worker"], "lab-node77");
    assert_eq!(machines(&server), ["lab-node77"], "and it has its hour");
    let file = folder.join("server.toml");
    let toml = fs::read_to_string(&file).unwrap();
    let quick = toml.replace("sweep_minutes", "orphan_minutes = 0.001\nsweep_minutes");
    fs::write(&file, quick).unwrap();
    let mut server = server;
    server.stop();
    server.restart();
    until("it to be destroyed", || machines(&server).is_empty().then_some(()));
}
