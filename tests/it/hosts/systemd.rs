//! A host with a real systemd, in namespaces of its own on this machine.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use super::bench::{Log, hire, hired, is_running, order, provider, until_worker};
use super::sshd::Sshds;
use crate::harness::{Ran, Server, until};

/// What would touch the kernel that all share, or wait for devices that are not there.
const MASKED: &[&str] = &[
    "systemd-sysctl.service",
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
    "systemd-binfmt.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
    "proc-sys-fs-binfmt_misc.automount",
    "tmp.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "network-online.target",
    "swap.target",
    "local-fs.target",
];

/// This machine's files with what is written to them kept apart, and systemd as its first
/// process. Gone when dropped.
struct Booted<'a> {
    sshds: &'a Sshds,
    init: Child,
}

impl<'a> Booted<'a> {
    /// None where that cannot be, which is said aloud.
    fn boot(sshds: &'a Sshds) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !fs::exists("/lib/systemd/systemd").unwrap() {
            eprintln!("SKIPPED: a host with systemd needs root and Debian's systemd");
            return None;
        }
        let top = sshds.world().path().display().to_string();
        let script = format!(
            "set -e; b={top}/booted; mkdir $b; mount -t tmpfs tmpfs $b; mkdir $b/u $b/w $b/r; r=$b/r
             mount -t overlay overlay -o lowerdir=/,upperdir=$b/u,workdir=$b/w $r
             mount -t proc proc $r/proc; mount -t tmpfs tmpfs $r/run; mkdir $r/run/sshd
             mount -t sysfs -o ro sysfs $r/sys 2>/dev/null || mount --rbind /sys $r/sys
             mount -t cgroup2 cgroup2 $r/sys/fs/cgroup; mount --rbind /dev $r/dev
             echo 0123456789abcdef0123456789abcdef >$r/etc/machine-id
             for unit in {}; do ln -sf /dev/null $r/etc/systemd/system/$unit; done
             printf '[Unit]\\nDescription=test\\nDefaultDependencies=no\\n' >$r/etc/systemd/system/test.target
             exec env -i container=lxc TEST={top} PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
               chroot $r /lib/systemd/systemd --system --unit=test.target --log-target=console",
            MASKED.join(" ")
        );
        let mut command = sshds.world().command("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--ipc",
            "--cgroup",
            "--propagation",
            "private",
        ]);
        command.args(["sh", "-c", &script]);
        let booted = Self { sshds, init: sshds.world().spawn("systemd", command) };
        until("systemd to be up", || {
            let ran = booted.enter()?.args(["systemctl", "is-system-running"]).output().ok()?;
            let state = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
            ["running", "degraded"].contains(&state.as_str()).then_some(())
        });
        Some(booted)
    }

    /// What puts a command in there; none while there is no first process.
    fn enter(&self) -> Option<Command> {
        let parent = self.init.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        let first = children.split_whitespace().next()?.to_owned();
        let mut command = self.sshds.world().command("nsenter");
        command.args(["--target", &first, "--mount", "--pid", "--cgroup"]);
        command.arg(format!("--root=/proc/{first}/root")).arg("--wd=/");
        Some(command)
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = self.enter().unwrap();
        command.args(words);
        Ran::of(command)
    }

    /// Answers in place of the first of the hosts.
    fn start_sshd(&self) {
        let conf = self.sshds.world().path().join("sshd0.conf");
        let mut command = self.enter().unwrap();
        command.args(["/usr/sbin/sshd", "-D", "-e", "-f"]).arg(conf).process_group(0);
        self.sshds.world().spawn("booted-sshd", command);
        let port = self.sshds.host(0).rsplit(':').next().unwrap().parse().unwrap();
        crate::storage::peers::wait_for_port(port);
    }
}

impl Drop for Booted<'_> {
    fn drop(&mut self) {
        if let Some(mut kill) = self.enter() {
            // With the first process all others of its namespace go.
            let _ = kill.args(["kill", "-KILL", "1"]).status();
        }
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_host_with_systemd_the_agent_is_a_service() {
    let Some(mut sshds) = Sshds::start(1) else { return };
    sshds.shut_down(0);
    let Some(host) = Booted::boot(&sshds) else { return };
    host.start_sshd();
    let server = Server::start();
    let lab = provider("ssh", sshds.world().path(), &sshds.keys("id", &sshds.all())).unwrap();
    let order = order(&server, "n1", ("node", "lab"));
    let log = Log::default();
    let machine = hire(&*lab, &order, &log).await;
    log.says("as the service scitq-n1.service");
    log.says("it has joined");
    until_worker(&server, "n1", "running");
    let hired = hired(&order, Some(machine.clone()));
    assert!(is_running(&*lab, &hired).await);
    assert_eq!(host.run(&["systemctl", "is-enabled", "scitq-n1"]).text(), "enabled");

    let go = "/run/go";
    let command = format!("until [ -e {go} ]; do sleep 0.05; done");
    let id = server.launch(&["--retry", "0", "--shell", "--", &command]);
    server.wait_for(&id, &["running"]);
    // Killed, it is started again; restarted, it loses nothing.
    let pid = || host.run(&["systemctl", "show", "-P", "MainPID", "scitq-n1"]).text().to_owned();
    let first = pid();
    host.run(&["kill", "-KILL", &first]).ok();
    until("systemd to start the agent again", || {
        let now = pid();
        (now != first && now != "0").then_some(())
    });
    lab.deploy(&order, &machine, &Log::default()).await.unwrap();
    host.run(&["systemctl", "restart", "scitq-n1"]).ok();
    host.run(&["touch", go]).ok();
    let task = server.wait_for(&id, &["succeeded", "failed"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()), "{task}");

    lab.destroy(&hired, &Log::default()).await.unwrap();
    let left =
        host.run(&["sh", "-c", "ls /etc/systemd/system | grep scitq-n1; pgrep -c scitq; exit 0"]);
    assert_eq!(left.text(), "0");
}
