//! `scitq manage file`, as a person uses it, and tasks whose data is remote.

use std::fs;
use std::process::Command;

use super::peers::{self, Peer};
use super::tree::{make_sparse, names, write};
use crate::harness::{AgentOptions, Ran, SCITQ, Server};
use crate::screen::Terminal;

fn file(peer: &Peer, arguments: &[&str]) -> Ran {
    let mut command = peer.world.command(SCITQ);
    command.args(["manage", "file"]).args(arguments);
    command.env("RCLONE_CONFIG", peer.path("rclone.conf"));
    Ran::of(command)
}

#[test]
fn data_is_listed_copied_and_deleted_from_the_command_line() {
    let Some(peer) = peers::sftp() else { return };
    for name in ["run/a.fq", "run/sub/b c.fq", "more/x"] {
        write(&peer.path(name), name.as_bytes());
    }
    let there = format!("{}out/", peer.base);
    file(&peer, &["copy", "run/", &there]).ok();
    file(&peer, &["copy", "more/x", &there]).ok();
    let listed = file(&peer, &["list", &there, "--json"]).ok().json();
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(listed, ["a.fq", "sub/", "sub/b c.fq", "x"]);

    let pattern = format!("{there}**/*.fq");
    let copied = file(&peer, &["copy", &pattern, "back"]).ok();
    assert!(copied.stderr.contains("copied 2 files"), "{copied}");
    assert_eq!(names(&peer.path("back")), ["a.fq", "sub/", "sub/b c.fq"]);

    write(&peer.path("run/new"), b"new");
    let planned = file(&peer, &["sync", "run/", &there, "--dry-run"]).ok();
    assert_eq!(planned.text(), "new");
    let synced = file(&peer, &["sync", "run/", &there]).ok();
    assert!(synced.stderr.contains("copied 1 file,"), "{synced}");
    assert_eq!(file(&peer, &["sync", "run/", &there, "--dry-run"]).ok().text(), "");

    let all = format!("{there}sub/");
    let planned = file(&peer, &["delete", &all, "--dry-run"]).ok();
    assert_eq!(planned.text(), "b c.fq");
    file(&peer, &["delete", &all]).refused(1, "add --yes");
    assert!(peer.folder.join("out/sub/b c.fq").exists());
    file(&peer, &["delete", &all, "--yes"]).ok();
    assert_eq!(names(&peer.folder.join("out")), ["a.fq", "new", "x"]);
    let gone = format!("there is no `{}`", peer.folder.join("out/sub").display());
    file(&peer, &["list", &all]).refused(1, &gone);
}

#[test]
fn folders_are_drawn_and_files_printed() {
    let Some(peer) = peers::sftp() else { return };
    for (name, content) in [("run/a.fq", "ACGT"), ("run/sub/b.fq", "TT"), ("run/sub/c", "")] {
        write(&peer.folder.join(name), content.as_bytes());
    }
    let there = format!("{}run/", peer.base);
    let drawn = file(&peer, &["tree", &there]).ok();
    let expected = "├── a.fq  4 B\n└── sub/  2 B\n    ├── b.fq  2 B\n    └── c  0 B";
    assert_eq!(drawn.text(), expected);
    assert!(drawn.stderr.contains("1 folder, 3 files, 6 B"), "{drawn}");
    let one = file(&peer, &["tree", &there, "--depth", "1"]).ok();
    assert_eq!(one.text(), "├── a.fq  4 B\n└── sub/  2 B");
    let printed = file(&peer, &["cat", &format!("{there}**/*.fq")]).ok();
    assert_eq!(printed.stdout, b"ACGTTT");
    file(&peer, &["cat", &format!("{there}none")]).refused(1, "there is no");
    let limited = file(&peer, &["copy", &there, "here/", "--limit", "1M"]).ok();
    assert!(limited.stderr.contains("copied 3 files"), "{limited}");
}

#[test]
fn a_bar_shows_how_a_copy_gets_on() {
    let peer = peers::local();
    make_sparse(&peer.path("big"), 30 << 20);
    let mut command = peer.world.command(SCITQ);
    command.args(["manage", "file", "copy", "big", "here/", "--limit", "10M"]);
    command.env("TERM", "xterm-256color");
    let mut terminal = Terminal::start(&command, (80, 24));
    let shown = terminal.wait_for("MiB/s");
    assert!(shown.contains("[=") && shown.contains('%'), "{shown}");
    assert!(terminal.wait().success());
    assert_eq!(names(&peer.path("here")), ["big"]);
}

#[test]
fn what_is_copied_can_be_unpacked_on_the_way() {
    let peer = peers::local();
    write(&peer.path("packed/a"), b"a");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(peer.path("packed")).arg("-czf").arg(peer.path("x.tgz")).arg("a");
    assert!(tar.status().unwrap().success());
    let from = format!("file://{}|untar|mv:deep", peer.path("x.tgz").display());
    file(&peer, &["copy", &from, "here/"]).ok();
    assert_eq!(names(&peer.path("here")), ["deep/", "deep/a"]);
    file(&peer, &["copy", "nowhere://x", "here/"]).refused(1, "`nowhere` is neither");
}

#[test]
fn tasks_fetch_and_send_remote_data() {
    let Some(peer) = peers::sftp() else { return };
    write(&peer.folder.join("reads/s 1.fq"), b"reads");
    write(&peer.path("packed/index/genome"), b"ACGT");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(peer.path("packed")).arg("-czf").arg(peer.folder.join("db.tgz")).arg(".");
    assert!(tar.status().unwrap().success());
    let mut server = Server::start();
    let conf = peer.path("rclone.conf").display().to_string();
    let env = [("RCLONE_CONFIG".to_owned(), conf)].into();
    server.agent(AgentOptions { env, ..AgentOptions::default() });
    let (input, resource) =
        (format!("{}reads/*.fq", peer.base), format!("{}db.tgz|untar|mv:db", peer.base));
    let (same, output) =
        (format!("{}db.tgz|untar|mv:own", peer.base), format!("{}results/", peer.base));
    let script = "cat \"$INPUT/s 1.fq\" \"$INPUT/own/index/genome\" \"$RESOURCE/db/index/genome\" > $OUTPUT/all; mkdir $OUTPUT/none";
    let task = server.launch(&[
        "--input",
        &input,
        "--input",
        &same,
        "--resource",
        &resource,
        "--output",
        &output,
        "sh",
        "-c",
        script,
    ]);
    server.wait_for(&task, &["succeeded"]);
    assert_eq!(fs::read_to_string(peer.folder.join("results/all")).unwrap(), "readsACGTACGT");
    assert_eq!(names(&peer.folder.join("results")), ["all", "none/"]);

    let missing = format!("{}none", peer.base);
    let task = server.launch(&["--input", &missing, "true"]);
    let task = server.wait_for(&task, &["failed"]);
    assert_eq!(task["failure"], "download");
}
