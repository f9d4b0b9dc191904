//! An agent as a service of a real systemd, with the unit of the documentation.
//!
//! systemd wants to be the first process of a machine. Here that is a container
//! that has the programs of this machine.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::engine::Engine;
use crate::harness::{SCITQ, until};
use crate::storage::peers;
use crate::world::World;

const SYSTEMD: &str = "/usr/lib/systemd/systemd";
const IMAGE: &str = "scitq-test:systemd";

const INIT: &str = "#!/bin/sh
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec /usr/lib/systemd/systemd --system --unit=basic.target
";

/// A machine whose first process is systemd.
struct Machine {
    engine: Engine,
    container: String,
    world: World,
}

impl Machine {
    fn start() -> Option<Self> {
        let engine = Engine::of_this_machine()?;
        let is_merged = fs::read_link("/bin").is_ok_and(|target| target == Path::new("usr/bin"));
        if !Path::new(SYSTEMD).exists() || !is_merged {
            return peers::missing("systemd");
        }
        let world = World::new();
        make_image(&world, &engine);
        let program = world.path().join("scitq");
        // A name of its own in the folder that the machine sees.
        fs::copy(SCITQ, &program).unwrap();
        let here = format!("{0}:{0}", world.path().display());
        let container = engine.docker(&[
            "run",
            "--detach",
            "--cap-add",
            "SYS_ADMIN",
            "--security-opt",
            "seccomp=unconfined",
            "--network",
            "none",
            "--tmpfs",
            "/run:exec",
            "--tmpfs",
            "/tmp",
            "-v",
            "/usr:/usr:ro",
            "-v",
            &here,
            IMAGE,
            "/init",
        ]);
        let machine = Self { engine, container, world };
        until("systemd to be up", || {
            (machine.try_run("systemctl is-system-running")? == "running").then_some(())
        });
        Some(machine)
    }

    /// Output of a script that succeeded.
    fn try_run(&self, script: &str) -> Option<String> {
        let mut docker = Command::new("docker");
        docker.env("DOCKER_HOST", self.engine.address());
        let out = docker.args(["exec", &self.container, "sh", "-c", script]).output().unwrap();
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    #[track_caller]
    fn run(&self, script: &str) -> String {
        self.try_run(script).unwrap_or_else(|| panic!("{script}: {}", self.journal()))
    }

    fn journal(&self) -> String {
        self.try_run("journalctl --no-pager; systemctl status --no-pager scitq-agent; true")
            .unwrap_or_default()
    }

    /// A unit as the documentation has it, with the places of this machine.
    fn install(&self, name: &str) {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/site.md");
        let page = fs::read_to_string(page).unwrap();
        let begin = format!("# /etc/systemd/system/{name}.service\n");
        let unit = page.split_once(&begin).unwrap().1.split_once("```").unwrap().0;
        let program = self.world.path().join("scitq").display().to_string();
        let unit = unit.replace("/usr/local/bin/scitq", &program);
        let unit = unit.replace("--server head", "--server http://127.0.0.1:5000");
        let unit = unit.replace("0.0.0.0:5000 --tls self", "127.0.0.1:5000");
        let path = self.world.path().join(format!("{name}.service"));
        fs::write(&path, unit).unwrap();
        let (from, to) = (path.display(), format!("/etc/systemd/system/{name}.service"));
        self.run(&format!("cp {from} {to} && systemctl daemon-reload && systemctl start {name}"));
    }

    /// The command line, for the server of that machine.
    fn scitq(&self, words: &str) -> Option<String> {
        let program = self.world.path().join("scitq");
        let token = "SCITQ_TOKEN_FILE=/etc/scitq/join.token";
        let server = "SCITQ_SERVER=http://127.0.0.1:5000";
        self.try_run(&format!("{token} {server} {} {words}", program.display()))
    }

    fn main_process(&self) -> String {
        self.run("systemctl show --value --property MainPID scitq-agent")
    }

    /// Waits until a service has another first process than this one.
    fn wait_for_other(&self, process: &str) -> String {
        until("another agent to run", || {
            let now = self.main_process();
            (now != process && now != "0").then_some(now)
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.engine.docker(&["rm", "--force", &self.container]);
    }
}

/// A root of a file system that has nothing but places for others.
fn make_image(world: &World, engine: &Engine) {
    let root = world.path().join("root");
    for folder in [
        "etc/scitq",
        "etc/systemd/system",
        "var/log",
        "var/lib",
        "run",
        "tmp",
        "proc",
        "sys",
        "dev",
        "usr",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for folder in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
    }
    let users = "root:x:0:0::/root:/bin/sh\nscitq:x:900:900::/var/lib/scitq:/bin/sh\n";
    fs::write(root.join("etc/passwd"), users).unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nscitq:x:900:\n").unwrap();
    fs::write(root.join("etc/machine-id"), "").unwrap();
    fs::write(root.join("init"), INIT).unwrap();
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    // The server is another user there.
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tar = world.path().join("root.tar");
    let mut pack = Command::new("tar");
    assert!(pack.arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().unwrap().success());
    engine.docker(&["import", tar.to_str().unwrap(), IMAGE]);
}

#[test]
fn commands_run_on_when_systemd_restarts_kills_and_stops_their_agent() {
    let Some(machine) = Machine::start() else { return };
    machine.install("scitq");
    until("the server to have a token", || {
        machine.try_run("install -m 600 /var/lib/scitq/admin.token /etc/scitq/join.token")
    });
    machine.install("scitq-agent");
    let go = machine.world.path().join("go").display().to_string();
    let script = format!("echo first; while ! test -e {go}; do sleep 0.1; done; echo last");
    let id =
        until("the task to be queued", || machine.scitq(&format!("launch --shell -- '{script}'")));
    let output = || machine.scitq(&format!("manage task output {id} --stdout"));
    until("the command to run", || (output()? == "first").then_some(()));
    let first = machine.main_process();
    machine.run("systemctl restart scitq-agent");
    let second = machine.wait_for_other(&first);
    machine.run("systemctl kill --signal KILL --kill-who main scitq-agent");
    machine.wait_for_other(&second);
    assert_eq!(machine.run("systemctl show --value --property NRestarts scitq-agent"), "1");
    // It ends while there is no agent.
    machine.run("systemctl stop scitq-agent");
    machine.run(&format!("touch {go}"));
    machine.run("systemctl start scitq-agent");
    until("the task to be done", || {
        let task = machine.scitq(&format!("manage task show {id} --json"))?;
        let task: serde_json::Value = serde_json::from_str(&task).ok()?;
        (task["state"] == "succeeded" && task["attempts"] == 1).then_some(())
    });
    assert_eq!(output().unwrap(), "first\nlast");
}
