//! A container engine for tests: the one that answers on this machine, or one
//! of a test's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{AgentOptions, World, until};
use crate::storage::peers;

/// The image of all these tests: busybox and nothing else.
pub const IMAGE: &str = "scitq-test:busybox";

const PROGRAMS: [&str; 22] = [
    "sh", "cat", "echo", "id", "ls", "sleep", "env", "dd", "head", "tail", "true", "false",
    "chown", "mkdir", "kill", "wc", "yes", "stat", "pwd", "od", "touch", "printf",
];

/// An engine that answers and has the image.
#[derive(Debug)]
pub struct Engine {
    address: String,
    process: Option<Child>,
    options: Vec<&'static str>,
    /// Where it keeps its things, if it is a test's own.
    folder: Option<PathBuf>,
    /// What it sees as `/etc`, if that is not this machine's.
    settings: Option<PathBuf>,
}

impl Engine {
    /// The engine of this machine; none if there is none, which is said, and
    /// fails with `CI=true`.
    pub fn of_this_machine() -> Option<Self> {
        let address =
            std::env::var_os("DOCKER_HOST").unwrap_or_else(|| "unix:///var/run/docker.sock".into());
        let address = address.to_string_lossy().into_owned();
        let engine =
            Self { address, process: None, options: Vec::new(), folder: None, settings: None };
        let answers = engine.try_docker(&["version"]).is_some_and(|out| out.status.success());
        if !answers || !Path::new("/bin/busybox").exists() {
            let said = "SKIPPED: no container engine answers, or /bin/busybox is missing";
            let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!is_ci, "{said} (tests/run installs and starts what is needed)");
            eprintln!("{said} (tests/run installs and starts what is needed)");
            return None;
        }
        engine.load_image();
        Some(engine)
    }

    /// An engine of the test's own, which it may stop; none where that cannot be.
    pub fn of_its_own(world: &World, options: &[&'static str]) -> Option<Self> {
        Self::start_its_own(world, options, None)
    }

    /// The same, whose containers have users from a range of their own.
    pub fn with_other_users(world: &World) -> Option<Self> {
        let settings = world.path().join("etc");
        copy_settings(&settings, "nobody:100000:65536\n");
        Self::start_its_own(world, &["--userns-remap", "nobody:nogroup"], Some(settings))
    }

    fn start_its_own(
        world: &World,
        options: &[&'static str],
        settings: Option<PathBuf>,
    ) -> Option<Self> {
        let here = Self::of_this_machine()?;
        if !rustix::process::getuid().is_root()
            || here.try_run("unshare", &["--net", "dockerd", "--version"]).is_none()
        {
            eprintln!("SKIPPED: only root can start a container engine");
            return None;
        }
        let address = format!("unix://{}/engine/socket", world.path().display());
        let folder = Some(world.path().join("engine"));
        let mut engine =
            Self { address, process: None, options: options.to_vec(), folder, settings };
        engine.start(world);
        engine.load_image();
        Some(engine)
    }

    /// Podman of a user who is not root, with numbers for other users; none where
    /// that cannot be.
    pub fn rootless(world: &World) -> Option<Self> {
        for program in ["podman", "newuidmap", "docker"] {
            peers::debian(program)?;
        }
        if !rustix::process::getuid().is_root() {
            eprintln!("SKIPPED: only root can start an engine as another user");
            return None;
        }
        let (settings, folder) = (world.path().join("etc"), world.path().join("podman"));
        copy_settings(&settings, "ada:200000:65536\n");
        let account = "ada:x:1234:1234::/:/bin/sh\n";
        append(&settings.join("passwd"), account);
        append(&settings.join("group"), "ada:x:1234:\n");
        for path in [folder.clone(), folder.join("run"), folder.join("home")] {
            fs::create_dir(&path).unwrap();
            chown(&path, Some(1234), Some(1234)).unwrap();
        }
        fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let conf = folder.join("containers.conf");
        let limits = "default_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]";
        let engine = "cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"";
        fs::write(&conf, format!("[containers]\n{limits}\n[engine]\n{engine}\n")).unwrap();
        let address = format!("unix://{}", folder.join("run/socket").display());
        let mut command = world.command("unshare");
        command
            .env("HOME", folder.join("home"))
            .env("TMPDIR", folder.join("home"))
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .env("CONTAINERS_CONF", conf)
            .args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc && exec setpriv \"$@\""])
            .arg(&settings)
            .args(["--reuid", "1234", "--regid", "1234", "--clear-groups", "podman"])
            .args(["--storage-driver", "vfs", "system", "service", "-t", "0", &address]);
        let process = Some(world.spawn("engine", command));
        let (options, folder, settings) = (Vec::new(), None, Some(settings));
        let engine = Self { address, process, options, folder, settings };
        until("Podman to answer", || {
            engine.try_docker(&["version"])?.status.success().then_some(())
        });
        engine.load_image();
        Some(engine)
    }

    /// Starts the engine that was stopped.
    pub fn start(&mut self, world: &World) {
        let folder = world.path().join("engine");
        fs::create_dir_all(&folder).unwrap();
        // That of this machine's own engine may say otherwise.
        let settings = folder.join("daemon.json");
        fs::write(&settings, "{}").unwrap();
        // In a network of its own: without a bridge it takes away that of another engine.
        let mut command = world.command("unshare");
        match &self.settings {
            None => command.args(["--net", "dockerd"]),
            Some(settings) => command
                .args(["--net", "--mount", "sh", "-c"])
                .arg("mount --bind \"$0\" /etc && exec dockerd \"$@\"")
                .arg(settings),
        };
        command
            .args(["--host", &self.address, "--bridge", "none", "--iptables=false"])
            .args(["--ip6tables=false", "--ip-forward=false", "--ip-masq=false"])
            .arg("--config-file")
            .arg(settings)
            .args(&self.options)
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"));
        self.process = Some(world.spawn("engine", command));
        until("the engine to answer", || {
            self.try_docker(&["version"])?.status.success().then_some(())
        });
    }

    /// Ends it as a service manager does: it ends its containers.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the engine runs");
        kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
        until("the engine to end", || process.try_wait().unwrap());
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An agent that uses this engine.
    pub fn agent(&self) -> AgentOptions {
        let mut options = AgentOptions::default();
        options.env.insert("DOCKER_HOST".to_owned(), self.address.clone());
        options
    }

    /// Runs the engine's own command line, which must succeed.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let out = self.try_docker(arguments).expect("docker can be run");
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// How many containers of the agents in this folder there are.
    pub fn count(&self, world: &World) -> usize {
        self.containers(world).len()
    }

    /// Ids of the containers of the agents in this folder.
    pub fn containers(&self, world: &World) -> Vec<String> {
        let format = "{{.ID}} {{.Label \"scitq.workdir\"}}";
        let list = self.docker(&["ps", "--all", "--format", format]);
        let mark = world.path().display().to_string();
        let own = list.lines().filter(|line| line.contains(&mark));
        own.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
    }

    fn try_docker(&self, arguments: &[&str]) -> Option<Output> {
        self.try_run("docker", arguments)
    }

    fn try_run(&self, program: &str, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new(program);
        command.env("DOCKER_HOST", &self.address).args(arguments).stdin(Stdio::null());
        command.output().ok()
    }

    fn load_image(&self) {
        if self.try_docker(&["image", "inspect", IMAGE]).is_some_and(|out| out.status.success()) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for program in PROGRAMS {
            symlink("busybox", root.join("bin").join(program)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let tar = folder.path().join("root.tar");
        let packed =
            Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status();
        assert!(packed.unwrap().success());
        self.docker(&["import", tar.to_str().unwrap(), IMAGE]);
    }
}

impl Engine {
    /// Ends an engine of a test's own, before its folder goes: that is a mount
    /// of its own, which the engine leaves behind.
    pub fn end(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        drop(process.kill());
        drop(process.wait());
        if let Some(folder) = &self.folder {
            drop(Command::new("umount").arg("--lazy").arg(folder.join("data")).status());
        }
    }
}

/// A copy of `/etc` with these numbers for users in containers.
fn copy_settings(to: &Path, numbers: &str) {
    let mut copy = Command::new("cp");
    assert!(copy.arg("-a").arg("/etc").arg(to).status().unwrap().success());
    for file in ["subuid", "subgid"] {
        fs::write(to.join(file), numbers).unwrap();
    }
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, before + text).unwrap();
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}
