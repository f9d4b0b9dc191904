//! A machine of a test's own: a container with this machine's programs, a file
//! system that is forgotten, no network, and a real systemd. Needs root.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::harness::{Ran, World, until};

/// Makes the container's file system and becomes its first process. The file
/// system is that of this machine, and what is written goes to memory.
const BOOT: &str = r#"
set -eu
place=$1 shared=$2
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
root=$place/root
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
for folder in run tmp dev; do mount -t tmpfs -o mode=0755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
for name in null zero full random urandom tty; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd"
fi
mount --bind "$shared" "$root/mnt"
ip link set lo up
cd "$root"
mkdir -p .before
pivot_root . .before
umount -l /.before
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=basic.target --show-status=no
"#;

/// A container that has been booted; ends with its world.
#[derive(Debug)]
pub struct Machine {
    world: World,
    process: Child,
}

impl Machine {
    /// None, and a word on stderr, where this machine does not allow it.
    ///
    /// # Panics
    /// It is not allowed, and `CI=true` says that nothing may be skipped.
    pub fn boot(world: World) -> Option<Self> {
        let place = world.path().join("machine");
        fs::create_dir(&place).unwrap();
        let shared = world.path().join("shared");
        fs::create_dir_all(&shared).unwrap();
        let mut command = world.command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc"]);
        command.args(["--cgroup", "--net", "sh", "-c", BOOT, "boot"]).args([&place, &shared]);
        let mut process = world.spawn("machine", command);
        let is_up = until("systemd to be up", || {
            if process.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let mut state = enter(&world, &process)?;
            state.args(["systemctl", "is-active", "--quiet", "basic.target"]);
            state.status().ok()?.success().then_some(true)
        });
        if is_up {
            return Some(Self { world, process });
        }
        let log = fs::read_to_string(world.path().join("logs/machine")).unwrap_or_default();
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci, "a container with systemd is needed (root): {log}");
        eprintln!("SKIPPED: no container with systemd here (it needs root): {log}");
        None
    }

    /// A folder that is `/mnt` in there.
    pub fn shared(&self) -> PathBuf {
        self.world.path().join("shared")
    }

    /// Runs a script in there to its end.
    pub fn run(&self, script: &str) -> Ran {
        let mut command = enter(&self.world, &self.process).expect("the machine is up");
        command.args(["sh", "-c", script]);
        Ran::of(command)
    }
}

/// A program in the container; none while it has not begun.
fn enter(world: &World, unshare: &Child) -> Option<Command> {
    let pid = unshare.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let first = children.split_whitespace().next()?;
    let name = fs::read_to_string(format!("/proc/{first}/comm")).ok()?;
    if name.trim() != "systemd" {
        return None;
    }
    let mut command = world.command("nsenter");
    command.args(["--target", first, "--all", "--wd=/"]);
    command.env_remove("TMPDIR").env_remove("XDG_RUNTIME_DIR").env("HOME", "/root");
    Some(command)
}
