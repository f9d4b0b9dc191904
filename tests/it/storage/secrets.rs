//! Settings of storage that agents learn from their server, and secrets that
//! nobody else sees.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::peers::{self, S3_SECRET};
use super::tree::write;
use crate::harness::{AgentOptions, Server, until};

/// The sections of an `rclone.conf` as tables.
fn as_toml(conf: &str) -> String {
    conf.lines()
        .map(|line| match line.split_once(" = ") {
            Some((key, value)) => format!("{key} = \"{value}\"\n"),
            None => format!("{line}\n"),
        })
        .collect()
}

fn files_with(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            files_with(&path, text, found);
        } else if let Ok(content) = fs::read(&path) {
            let is_there = content.windows(text.len()).any(|part| part == text.as_bytes());
            found.extend(is_there.then(|| path.display().to_string()));
        }
    }
}

#[test]
fn agents_learn_of_storage_from_their_server_and_nobody_else_does() {
    let Some(store) = peers::s3() else { return };
    let conf = as_toml(&fs::read_to_string(store.path("rclone.conf")).unwrap());
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let (path, reads) = (server.data().join("storage.toml"), server.path().join("reads"));
    write(&reads, b"ACGT");
    fs::write(&path, conf).unwrap();
    // As long as others can read it, it is told to nobody.
    let from = format!("file://{}", reads.display());
    let copy =
        ["-i", &from, "-o", "store://bucket/a/", "--shell", "--", "cp $INPUT/reads $OUTPUT/"];
    let refused = server.launch(&copy);
    let refused = server.wait_for(&refused, &["failed"]);
    assert!(
        refused["failure_reason"].as_str().unwrap().contains("neither a protocol nor a remote")
    );
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    // The agent hears of it with the next heartbeat, without a restart.
    let task = until("the agent to know of the store", || {
        let task = server.launch(&copy);
        let task = server.wait_for(&task, &["succeeded", "failed"]);
        (task["state"] == "succeeded").then_some(task)
    });
    let id = task["id"].to_string();
    let back =
        server.launch(&["-i", "store://bucket/a/reads", "--shell", "--", "cat $INPUT/reads"]);
    server.wait_for(&back, &["succeeded"]);
    assert_eq!(server.stdout(&back), b"ACGT");
    // An error that the storage gives, with its message.
    let thief = server.launch(&["-i", "thief://bucket/a/reads", "true"]);
    let thief = server.wait_for(&thief, &["failed"]).to_string();
    for text in
        [&thief, &server.scitq(&["manage", "task", "show", &id, "--json"]).ok().text().to_owned()]
    {
        assert!(!text.contains(S3_SECRET) && !text.contains("WRONGSECRET999"), "{text}");
    }
    let mut found = Vec::new();
    for secret in [S3_SECRET, "WRONGSECRET999"] {
        files_with(server.path(), secret, &mut found);
    }
    found.retain(|file| *file != path.display().to_string());
    assert_eq!(found, Vec::<String>::new(), "files with secrets");
}

#[test]
fn a_configuration_is_printed_for_rclone_and_secrets_only_on_request() {
    let peer = peers::local();
    let toml = "[lab]\ntype = \"ftp\"\nhost = \"lab\"\npass = \"sesame\"\n";
    fs::write(peer.path("storage.toml"), toml).unwrap();
    let print = |more: &[&str]| {
        let mut command = peer.world.command(crate::harness::SCITQ);
        command.args(["manage", "config", "rclone"]).args(more);
        command.env("SCITQ_STORAGE_CONFIG", peer.path("storage.toml"));
        command.env("RCLONE_CONFIG", peer.path("rclone.conf"));
        crate::harness::Ran::of(command)
    };
    let plain = print(&[]).ok();
    let expected = "[lab]\ntype = ftp\nhost = lab\n# pass is secret\n\n[disk]\ntype = local";
    assert_eq!(plain.text(), expected);
    let Some(rclone) = peers::debian("rclone") else { return };
    fs::write(peer.path("printed.conf"), print(&["--show-secrets"]).ok().stdout).unwrap();
    let printed = fs::read_to_string(peer.path("printed.conf")).unwrap();
    let obscured = printed.lines().find_map(|line| line.strip_prefix("pass = ")).unwrap();
    let mut command = peer.world.command(&rclone);
    command.arg("--config").arg(peer.path("printed.conf")).args(["listremotes"]);
    assert_eq!(crate::harness::Ran::of(command).ok().text(), "disk:\nlab:");
    let mut command = peer.world.command(rclone);
    command.args(["reveal", "--", obscured]);
    assert_eq!(crate::harness::Ran::of(command).ok().text(), "sesame");
}
