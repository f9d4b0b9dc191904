//! Backups of a server that works, and what comes back of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World, until};
use crate::storage::peers;

/// Writes a backup of the server and returns its path.
fn back_up(server: &Server, name: &str) -> PathBuf {
    let path = server.path().join(name);
    server.scitq(&["manage", "server", "backup", path.to_str().unwrap()]).ok();
    path
}

/// Checks the database in a data directory.
fn check(world: &World, data: &Path) -> Ran {
    let mut command = world.command(SCITQ);
    command.args(["manage", "server", "check", "--data"]).arg(data);
    Ran::of(command)
}

/// Starts a server with what is in a backup.
fn restored(backup: &Path) -> Server {
    let server = Server::start_with(&["--restore", backup.to_str().unwrap()]);
    check(server.world(), &server.data()).ok();
    server
}

#[test]
fn a_backup_under_load_has_everything_that_was_acknowledged_before() {
    let mut server = Server::start_with(&["--tls", "self"]);
    server.agent(AgentOptions::default());
    let told = server.launch(&["--name", "told", "--", "echo", "kept output"]);
    server.wait_for(&told, &["succeeded"]);
    let before = server.scitq(&["manage", "server", "status", "--json"]).ok().json();
    // Tasks come and go all the while.
    let mut load: Command = server.program("sh");
    load.env("SCITQ", SCITQ);
    load.args(["-c", "while :; do seq 20 | \"$SCITQ\" launch --each -- echo load {}; done"]);
    let mut load = server.world().spawn("load", load);
    until("the load to be there", || {
        let status = server.scitq(&["manage", "server", "status", "--json"]).ok().json();
        (status["tasks"]["succeeded"].as_u64() > Some(20)).then_some(())
    });
    let backups: Vec<PathBuf> = (0..3).map(|n| back_up(&server, &format!("{n}.tar"))).collect();
    load.kill().unwrap();
    load.wait().unwrap();
    assert!(!server.data().join("backup.tmp").exists());
    for backup in &backups {
        let copy = restored(backup);
        let task = copy.task(&told);
        assert_eq!((&task["name"], &task["state"]), (&"told".into(), &"succeeded".into()));
        assert_eq!(copy.stdout(&told), b"kept output\n");
        let status = copy.scitq(&["manage", "server", "status", "--json"]).ok().json();
        assert_eq!(status["store"], before["store"]);
        // The certificate that tokens name came along.
        let certificate = |server: &Server| fs::read(server.data().join("tls.crt")).unwrap();
        assert_eq!(certificate(&copy), certificate(&server));
    }
}

#[test]
fn a_backup_goes_to_remote_storage() {
    let Some(peer) = peers::sftp() else { return };
    let server = Server::start();
    let id = server.launch(&["--", "true"]);
    let uri = format!("{}backups/scitq.tar", peer.base);
    let mut command = server.command(&["manage", "server", "backup", &uri]);
    command.env("RCLONE_CONFIG", peer.path("rclone.conf"));
    Ran::of(command).ok();
    let copy = restored(&peer.folder.join("backups/scitq.tar"));
    assert_eq!(copy.task(&id)["state"], "pending");
}

#[test]
fn a_backup_replaces_nothing_and_is_for_administrators() {
    let server = Server::start();
    let path = server.path().join("there.tar");
    fs::write(&path, "mine").unwrap();
    let backup = ["manage", "server", "backup", path.to_str().unwrap()];
    server.scitq(&backup).refused(1, "is there already");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    let create = ["manage", "token", "create", "--name", "u", "--role", "user"];
    let user = server.scitq(&create).ok().text().to_owned();
    let other = server.path().join("other.tar");
    let backup = ["manage", "server", "backup", other.to_str().unwrap()];
    server.scitq_as(Some(&user), &backup).refused(1, "role `user`");
    let left: Vec<_> = fs::read_dir(server.path()).unwrap().flatten().collect();
    assert!(!left.iter().any(|entry| entry.file_name().to_string_lossy().contains("other")));
}

#[test]
fn a_restore_touches_no_directory_with_data() {
    let mut server = Server::start();
    let id = server.launch(&["--", "true"]);
    let backup = back_up(&server, "backup.tar");
    assert!(server.stop().success());
    let mut command = Server::serve_command(server.world(), "127.0.0.1:0", &server.data());
    command.arg("--restore").arg(&backup);
    let ran = Ran::of(command).refused(78, "cannot restore the backup");
    assert!(ran.stderr.contains("has a database already"), "{ran}");
    // Half of a backup is none, and is not begun.
    let whole = fs::read(&backup).unwrap();
    fs::write(&backup, &whole[..whole.len() / 2]).unwrap();
    let other = server.path().join("other");
    let mut command = Server::serve_command(server.world(), "127.0.0.1:0", &other);
    command.arg("--restore").arg(&backup);
    let ran = Ran::of(command).refused(78, "cannot restore the backup");
    assert!(ran.stderr.contains("only a part of a backup"), "{ran}");
    server.restart();
    assert_eq!(server.task(&id)["state"], "pending");
}

#[test]
fn a_broken_rule_is_found_and_named() {
    let mut server = Server::start();
    server.launch(&["--", "true"]);
    check(server.world(), &server.data()).ok();
    assert!(server.stop().success());
    #[expect(clippy::disallowed_methods, reason = "a database that somebody spoilt")]
    let database = rusqlite::Connection::open(server.data().join("scitq.db")).unwrap();
    database.execute("UPDATE task SET attempts = 9", []).unwrap();
    drop(database);
    let ran = check(server.world(), &server.data());
    assert_eq!((ran.code(), ran.text().starts_with("D9: ")), (1, true), "{ran}");
    check(server.world(), &server.path().join("nowhere")).refused(78, "no database");
}

#[test]
fn an_old_backup_restored_under_running_tasks_ends_none_and_doubles_none() {
    let mut server = Server::start();
    server.agent(AgentOptions { concurrency: 4, ..AgentOptions::default() });
    let go = server.path().join("go");
    let script = |server: &Server, name: &str| {
        let log = server.path().join(name);
        let (log, go) = (log.display(), go.display());
        format!("echo x >>{log}; until [ -e {go} ]; do sleep 0.05; done; echo {name}")
    };
    let begun = |server: &Server, name: &str| {
        fs::read_to_string(server.path().join(name)).unwrap_or_default()
    };
    let old = server.launch(&["--retry", "0", "--shell", "--", &script(&server, "old")]);
    server.wait_for(&old, &["running"]);
    server.scitq(&["manage", "batch", "pause", "Default"]).ok();
    let new = server.launch(&["--retry", "0", "--shell", "--", &script(&server, "new")]);
    let backup = back_up(&server, "backup.tar");
    // What the backup knows nothing of: one that was pending then runs, and one more is queued.
    server.scitq(&["manage", "batch", "go", "Default"]).ok();
    server.wait_for(&new, &["running"]);
    let lost = server.launch(&["--", "true"]);
    server.wait_for(&lost, &["succeeded"]);
    let epoch = |server: &Server| {
        let status = server.scitq(&["manage", "server", "status", "--json"]).ok().json();
        status["epoch"].as_u64().unwrap()
    };
    let before = epoch(&server);
    server.kill9();
    fs::remove_dir_all(server.data()).unwrap();
    server.set_options(&["--restore", backup.to_str().unwrap()]);
    server.restart();
    assert!(epoch(&server) > before);
    until("the agent to have told what it runs", || {
        let shown = server.scitq(&["manage", "worker", "show", "worker", "--json"]).ok().json();
        (shown["seen"] == "online" && shown["orphans"].as_array()?.len() == 1).then_some(())
    });
    assert_eq!(server.task(&new)["state"], "pending");
    server.scitq(&["manage", "batch", "go", "Default"]).ok();
    assert_eq!(server.task(&old)["state"], "running");
    server.scitq(&["manage", "task", "show", &lost]).refused(1, "does not exist");
    // Others are given out, and these two are not given out twice.
    let other = server.launch(&["--", "true"]);
    server.wait_for(&other, &["succeeded"]);
    assert_eq!(server.task(&new)["state"], "running", "what runs there is taken over");
    fs::write(&go, "").unwrap();
    for (id, name) in [(&old, "old"), (&new, "new")] {
        let ended = server.wait_for(id, &["succeeded", "failed"]);
        assert_eq!((&ended["state"], &ended["attempts"]), (&"succeeded".into(), &1.into()));
        assert_eq!(server.stdout(id), format!("{name}\n").as_bytes());
        assert_eq!(begun(&server, name), "x\n", "the command of {name} ran twice");
    }
    check(server.world(), &server.data()).ok();
}
