//! The script that prepares a machine, run by a real shell on a copy of this machine's own
//! file system, of which nothing stays.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::bench::{order, provider};
use crate::harness::{Ran, Server, World};

/// A root of its own: this machine's files, with what is written to them kept apart, and
/// programs that tell what they were asked instead of doing it.
struct Machine {
    world: World,
}

impl Machine {
    /// None where that cannot be made, which is said aloud.
    fn make() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root makes a machine of its own for the script");
            return None;
        }
        let machine = Self { world: World::new() };
        for folder in ["over", "tools"] {
            fs::create_dir(machine.path(folder)).unwrap();
        }
        machine.tool("systemctl", "");
        machine.tool("apt-get", "");
        if machine.run("true").status.success() {
            return Some(machine);
        }
        eprintln!("SKIPPED: no file system over another can be mounted here");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    /// A program that notes its arguments, and does this.
    fn tool(&self, name: &str, script: &str) {
        let path = self.path("tools").join(name);
        fs::write(&path, format!("#!/bin/sh\necho \"{name} $*\" >>/calls\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs something there. What it has written stays for the next run.
    fn run(&self, script: &str) -> Ran {
        let over = self.path("over").display().to_string();
        fs::write(self.path("script"), script).unwrap();
        let enter = format!(
            "set -e; mount -t tmpfs tmpfs {over}; mkdir -p {over}/upper {over}/work {over}/top
             if [ -e {over}.tar ]; then tar -C {over}/upper -xf {over}.tar; fi
             mount -t overlay overlay -o lowerdir=/,upperdir={over}/upper,workdir={over}/work {over}/top
             mount -t proc proc {over}/top/proc
             : >{over}/swaps; mount --bind {over}/swaps {over}/top/proc/swaps
             mkdir -p {over}/top/tools; mount --bind {tools} {over}/top/tools; cp {script} {over}/top/script
             chroot {over}/top env -i PATH=/tools:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh /script \\
               && code=0 || code=$?
             tar -C {over}/upper -cf {over}.tar .; exit $code",
            tools = self.path("tools").display(),
            script = self.path("script").display(),
        );
        let mut command = self.world.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &enter]);
        Ran::of(command)
    }

    /// What the programs were asked, and forgets it.
    fn calls(&self) -> String {
        self.run("cat /calls 2>/dev/null; rm -f /calls; exit 0").text().to_owned()
    }
}

/// The part of the script that prepares the machine, with these settings.
fn preparation(settings: &str) -> String {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let keys = format!("prepare = {{ {settings} }}\n[flavors.node]\nhosts = \"a\"\ncpu = 1\n");
    let lab = provider("ssh", folder.path(), &keys).unwrap();
    let script = lab.script(&order(&server, "lab-node1", ("node", "lab"))).unwrap().unwrap();
    let (prepare, agent) = script.split_once("# --- The agent").unwrap();
    for part in [prepare, agent] {
        assert!(!part.contains("scitq_"), "a token in:\n{part}");
    }
    // A shell that reads all of it, and another one.
    for shell in ["sh", "bash"] {
        let path = folder.path().join("script");
        fs::write(&path, &script).unwrap();
        let checked = Command::new(shell).arg("-n").arg(&path).output().unwrap();
        assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    }
    format!("{prepare}\nprepare_machine\n")
}

#[test]
fn a_machine_with_two_nvme_disks_gets_one_scratch_of_both() {
    let Some(machine) = Machine::make() else { return };
    machine.tool(
        "lsblk",
        "case $* in
           '-dnpo NAME,TYPE') printf '/dev/sda disk\\n/dev/nvme0n1 disk\\n/dev/nvme1n1 disk\\n/dev/nvme2n1 disk\\n' ;;
           *nvme2n1) printf '/dev/nvme2n1 ext4 /old\\n' ;;
           *) printf '%s\\n' \"$3\" ;;
         esac",
    );
    machine.tool("mdadm", "");
    machine.tool("mkfs.xfs", "");
    machine.tool("blkid", "echo 1234-5678");
    machine.tool("mount", "");
    machine.tool("mountpoint", "[ -e /is-mounted ]");
    let script = preparation("scratch = true");
    let ran = machine.run(&script).ok();
    assert!(ran.text().contains("2 NVMe disks become one: /dev/nvme0n1 /dev/nvme1n1"), "{ran}");
    let calls = machine.calls();
    for call in [
        "mdadm --create /dev/md/scratch --level=0 --raid-devices=2 --run --quiet /dev/nvme0n1 /dev/nvme1n1",
        "mkfs.xfs -q /dev/md/scratch",
        "mount /dev/md/scratch /scratch",
    ] {
        assert!(calls.lines().any(|line| line == call), "{call}\n{calls}");
    }
    let fstab = machine.run("cat /etc/fstab");
    assert!(fstab.text().contains("UUID=1234-5678 /scratch xfs defaults,nofail 0 0"), "{fstab}");
    // Again, it touches no disk.
    let again = machine.run(&format!("touch /is-mounted\n{script}")).ok();
    assert!(again.text().contains("skipped: /scratch is mounted"), "{again}");
    let calls = machine.calls();
    assert!(!calls.contains("mdadm") && !calls.contains("mkfs"), "{calls}");
}

#[test]
fn a_machine_without_free_disks_gets_swap_engine_logins_and_shared_disk_once() {
    let Some(machine) = Machine::make() else { return };
    machine.tool("lsblk", "");
    machine.tool("mountpoint", "grep -qs \" $2 \" /mounted");
    machine.tool("mount", "echo \"x $1 y\" >>/mounted");
    machine.tool("mount.nfs", "");
    machine.tool("dockerd", "");
    machine.tool("swapon", "");
    machine.tool("sysctl", "");
    machine.tool("df", "case $* in *T*) printf 'h\\n/dev/a ext4 9 1 900000 1%% /\\n' ;; *) printf 'h\\n/dev/a 9 1 900000 1%% /\\n' ;; esac");
    let script = preparation(
        "scratch = true, swap = 0.1, engine = true, insecure_registries = [\"10.0.0.1:5000\"], \
         registry_logins = \"/x\", nfs = \"nas:/lab\", nvidia = true",
    );
    let setup = "rm -rf /scratch /etc/docker ~root/.docker; mkdir -p /etc/scitq
        echo '{\"auths\":{}}' >/etc/scitq/registry-logins.json\n";
    let first = machine.run(&format!("{setup}{script}")).ok();
    for line in [
        "== 10 scratch space",
        "no free NVMe disk: /scratch is a folder",
        "87 MiB in /scratch/swapfile",
        "its data is in /scratch/docker",
        "written to ~root/.docker/config.json",
        "skipped: no NVIDIA device",
    ] {
        assert!(first.text().contains(line), "{line}\n{first}");
    }
    let found = machine.run(
        "stat -c %a:%s /scratch/swapfile; stat -c %a ~root/.docker/config.json; cat /etc/docker/daemon.json /etc/fstab; cat /mounted",
    );
    let found = found.text();
    assert!(found.starts_with("600:91226112\n600\n"), "{found}");
    for part in [
        "\"data-root\": \"/scratch/docker\"",
        "\"insecure-registries\": [\"10.0.0.1:5000\"]",
        "nas:/lab /data nfs defaults,nofail,_netdev 0 0",
        "/scratch/swapfile none swap sw,nofail 0 0",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    machine.calls();
    let again = machine.run(&script).ok();
    for line in ["skipped: /data is mounted", "skipped: they are there", "stays as it is"] {
        assert!(again.text().contains(line), "{line}\n{again}");
    }
    let calls = machine.calls();
    assert!(!calls.contains("apt-get") && !calls.contains("mkfs"), "{calls}");
    let fstab = machine.run("grep -c scratch /etc/fstab; grep -c /data /etc/fstab");
    assert_eq!(fstab.text(), "1\n1");
}

#[test]
fn a_step_that_fails_is_named_and_the_next_run_goes_on_from_there() {
    let Some(machine) = Machine::make() else { return };
    machine.tool("lsblk", "");
    machine.tool("mountpoint", "exit 1");
    machine.tool("mount.nfs", "");
    machine.tool("mount", "[ -e /nas-is-there ]");
    let script = preparation("nfs = \"nas:/lab\"");
    let failed = machine.run(&script);
    assert_eq!(failed.code(), 1, "{failed}");
    assert!(failed.stderr.contains("cannot mount nas:/lab on /data"), "{failed}");
    assert!(
        failed.stderr.contains("the step \"shared disk\" ended with 1; run the script again"),
        "{failed}"
    );
    machine.run(&format!("touch /nas-is-there\n{script}")).ok();
}
