//! The units for systemd, as systemd sees them.

use std::fs;

use crate::harness::{Ran, SCITQ, Server, World};
use crate::storage::peers::debian;

/// Prints a unit and lets systemd read it.
fn unit(world: &World, arguments: &[&str], name: &str) -> String {
    let mut command = world.command(SCITQ);
    command.args(arguments);
    let ran = Ran::of(command).ok();
    let path = world.path().join(name);
    fs::write(&path, &ran.stdout).unwrap();
    let mut verify = world.command("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(&path);
    let verified = Ran::of(verify).ok();
    assert!(!verified.stderr.contains(name), "{verified}");
    ran.text().to_owned()
}

#[test]
fn the_units_are_good_ones_for_systemd() {
    if debian("systemd-analyze").is_none() {
        return;
    }
    let world = World::new();
    let server = unit(&world, &["manage", "server", "unit"], "scitq.service");
    assert!(server.contains("serve --listen 0.0.0.0:5000 --tls self"), "{server}");
    let mut security = world.command("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold=20", "--no-pager"]);
    security.arg(world.path().join("scitq.service"));
    Ran::of(security).ok();
    let arguments = ["manage", "worker", "unit", "ssh://ada@head"];
    let worker = unit(&world, &arguments, "scitq-agent.service");
    assert!(worker.contains("KillMode=process"), "{worker}");
    let mut odd = world.command(SCITQ);
    odd.args(["manage", "server", "unit", "--data", "/srv/a b"]);
    Ran::of(odd).refused(2, "in a unit it may have");
}

#[test]
fn whoever_watches_over_a_server_needs_no_token() {
    let server = Server::start();
    let mut command = server.world().command("curl");
    command
        .args(["-sS", "-m", "10", "-w", "%{http_code}"])
        .arg(format!("{}/healthz", server.url()));
    assert_eq!(Ran::of(command).ok().text(), "ok\n200");
}
