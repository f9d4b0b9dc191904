//! The Debian package, under a real systemd: installed, at work, upgraded under
//! running tasks, removed and purged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Ran, SCITQ, World, until};
use crate::machine::Machine;
use crate::storage::peers::missing;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `cargo-deb`, where `tests/run` has put it.
fn cargo_deb() -> Option<PathBuf> {
    let path = Path::new(ROOT).join("target/cargo-deb/bin/cargo-deb");
    if path.is_file() { Some(path) } else { missing("cargo-deb") }
}

/// Packs the program that is under test as some version.
fn pack(cargo_deb: &Path, world: &World, version: &str, to: &Path) {
    let profile = Path::new(SCITQ).parent().unwrap().file_name().unwrap().to_str().unwrap();
    let profile = if profile == "debug" { "dev" } else { profile };
    let mut command: Command = world.command(cargo_deb);
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.current_dir(ROOT).args(["--no-build", "--fast", "--offline", "--profile", profile]);
    command.args(["--deb-version", version, "--output"]).arg(to);
    Ran::of(command).ok();
}

#[test]
fn the_units_of_the_package_are_those_that_are_printed() {
    let world = World::new();
    for (object, name) in [("server", "scitq.service"), ("worker", "scitq-agent.service")] {
        let mut command = world.command(SCITQ);
        command.args(["manage", object, "unit"]);
        let printed = Ran::of(command).ok().text().replace(SCITQ, "/usr/bin/scitq");
        let path = Path::new(ROOT).join("packaging/debian").join(name);
        if std::env::var_os("SCITQ_BLESS").is_some() {
            fs::write(&path, format!("{printed}\n")).unwrap();
        }
        let packed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(packed.trim_end(), printed, "stale: run this test with SCITQ_BLESS=1");
    }
}

/// What the machine's own `scitq` prints.
fn scitq(machine: &Machine, arguments: &str) -> Ran {
    machine.run(&format!(
        "SCITQ_SERVER=https://127.0.0.1:5000 SCITQ_TOKEN_FILE=/var/lib/scitq/admin.token scitq {arguments}"
    ))
}

fn state(machine: &Machine, id: &str) -> Option<Value> {
    let ran = scitq(machine, &format!("manage task show {id} --json"));
    serde_json::from_slice(&ran.stdout).ok()
}

fn main_pid(machine: &Machine, unit: &str) -> String {
    machine.run(&format!("systemctl show --property MainPID --value {unit}")).ok().text().to_owned()
}

/// Waits until the unit runs as another process than before, and the server
/// knows its worker as online.
fn until_back(machine: &Machine, unit: &str, before: &str) {
    until(&format!("{unit} to be back"), || {
        let pid = main_pid(machine, unit);
        (pid != "0" && pid != before).then_some(())
    });
    until("the worker to be online", || {
        let list = scitq(machine, "manage worker list --json");
        let list: Value = serde_json::from_slice(&list.stdout).ok()?;
        (list[0]["seen"] == "online").then_some(())
    });
}

#[test]
fn a_package_is_installed_works_under_systemd_is_upgraded_under_tasks_and_purged() {
    let Some(cargo_deb) = cargo_deb() else { return };
    let world = World::new();
    let shared = world.path().join("shared");
    fs::create_dir(&shared).unwrap();
    for (version, name) in [("1.9", "old.deb"), ("2.9", "new.deb")] {
        pack(&cargo_deb, &world, version, &shared.join(name));
    }
    let Some(machine) = Machine::boot(world) else { return };
    machine.run("dpkg --install --no-triggers /mnt/old.deb").ok();
    machine.run("man -w scitq-serve && scitq --version && id scitq").ok();
    let files = "/usr/share/bash-completion/completions/scitq /usr/share/doc/scitq/security.md";
    machine.run(&format!("ls {files} /usr/share/zsh/vendor-completions/_scitq")).ok();
    let idle = machine.run("systemctl is-enabled scitq scitq-agent; systemctl is-active scitq");
    assert!(!idle.status.success() && !idle.text().contains("enabled\n"), "{idle}");
    // A head and a worker, as the pages on them say.
    machine.run("systemctl start scitq").ok();
    until("the server to be healthy", || {
        let health = machine.run("curl -sS -k https://127.0.0.1:5000/healthz");
        (health.text() == "ok").then_some(())
    });
    let owner = machine.run("stat -c %U:%a /var/lib/scitq /var/lib/scitq/admin.token").ok();
    assert_eq!(owner.text(), "scitq:700\nscitq:600");
    let create = "manage token create --name join --role agent >/etc/scitq/join.token";
    scitq(&machine, create).ok();
    machine.run("echo 'server = \"127.0.0.1\"' >/etc/scitq/agent.toml").ok();
    machine.run("systemctl start scitq-agent").ok();
    until_back(&machine, "scitq-agent", "0");
    let command = "echo x >>/mnt/began; until [ -e /mnt/go ]; do sleep 0.05; done; echo done";
    let id = scitq(&machine, &format!("launch --retry 0 --shell -- '{command}'")).ok();
    let id = id.text().to_owned();
    until("the task to run", || (state(&machine, &id)?["state"] == "running").then_some(()));
    // Killed, restarted and upgraded, both come back, and the task runs on.
    for unit in ["scitq", "scitq-agent"] {
        let before = main_pid(&machine, unit);
        machine.run(&format!("kill -KILL {before}")).ok();
        until_back(&machine, unit, &before);
        let before = main_pid(&machine, unit);
        machine.run(&format!("systemctl restart {unit}")).ok();
        until_back(&machine, unit, &before);
    }
    let before = ["scitq", "scitq-agent"].map(|unit| (unit, main_pid(&machine, unit)));
    machine.run("dpkg --install --no-triggers /mnt/new.deb").ok();
    for (unit, pid) in &before {
        until_back(&machine, unit, pid);
    }
    machine.run("systemctl reload scitq").ok();
    assert_eq!(state(&machine, &id).unwrap()["state"], "running");
    fs::write(machine.shared().join("go"), "").unwrap();
    let ended = until("the task to end", || {
        let task = state(&machine, &id)?;
        ["succeeded", "failed"].contains(&task["state"].as_str()?).then_some(task)
    });
    assert_eq!((&ended["state"], &ended["attempts"]), (&"succeeded".into(), &1.into()), "{ended}");
    assert_eq!(fs::read_to_string(machine.shared().join("began")).unwrap(), "x\n");
    machine.run("dpkg --remove --no-triggers scitq").ok();
    let gone = machine.run("systemctl is-active scitq scitq-agent; command -v scitq");
    assert!(!gone.status.success() && !gone.text().contains("\nactive"), "{gone}");
    // What it kept is a person's to delete.
    let purged = machine.run("dpkg --purge --no-triggers scitq").ok();
    assert!(purged.text().contains("/var/lib/scitq is left"), "{purged}");
    machine
        .run("test -e /var/lib/scitq/scitq.db && ! test -e /usr/lib/systemd/system/scitq.service")
        .ok();
}
