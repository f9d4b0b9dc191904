//! Real hosts for ssh, each an `sshd` of its own: on loopback, or in a network namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;

use crate::storage::peers::{debian, free_port, wait_for_port};
use crate::world::World;

/// Hosts on this machine that let one key in.
#[derive(Debug)]
pub struct Sshds {
    world: World,
    hosts: Vec<(u16, Option<Child>)>,
    /// What `PATH` is to those who log in; before the rest.
    tools: PathBuf,
}

impl Sshds {
    /// None where there is no `sshd`, which is said aloud.
    pub fn start(count: usize) -> Option<Self> {
        debian("sshd")?;
        let world = World::new();
        // sshd wants this folder, and no option names another.
        let _ = fs::create_dir_all("/run/sshd");
        let tools = world.path().join("tools");
        fs::create_dir(&tools).unwrap();
        let mut sshds = Self { world, hosts: Vec::new(), tools };
        for key in ["id", "other"] {
            sshds.make_key(key);
        }
        for number in 0..count {
            let port = free_port();
            sshds.hosts.push((port, None));
            sshds.make_key(&format!("host{number}"));
            sshds.boot(number);
        }
        sshds.know_all();
        Some(sshds)
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// Where the agents of a test are installed.
    pub fn directory(&self) -> PathBuf {
        self.world.path().join("installed")
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.hosts[number].0)
    }

    /// The keys of a provider for these hosts, as one flavor.
    pub fn keys(&self, key: &str, hosts: &[String]) -> String {
        let path = |name: &str| self.world.path().join(name).display().to_string();
        let program = super::bench::small_program();
        format!(
            "key_file = \"{}\"\nknown_hosts = \"{}\"\nconfig_file = \"/dev/null\"\ndirectory = \"{}\"\n\
             connect_seconds = 3\nprograms.{} = \"{}\"\n[flavors.node]\ncpu = 2\nram = 4\nhosts = {hosts:?}\n",
            path(key),
            path("known_hosts"),
            self.directory().display(),
            std::env::consts::ARCH,
            program.display(),
        )
    }

    pub fn all(&self) -> Vec<String> {
        (0..self.hosts.len()).map(|number| self.host(number)).collect()
    }

    /// Ends a host's `sshd`, and whoever is logged in.
    pub fn shut_down(&mut self, number: usize) {
        let mut process = self.hosts[number].1.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub fn boot(&mut self, number: usize) {
        let port = self.hosts[number].0;
        let path = |name: &str| self.world.path().join(name).display().to_string();
        let conf = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nUseDNS no\n\
             SetEnv PATH={}:/usr/sbin:/usr/bin:/sbin:/bin TEST={}\n",
            path(&format!("host{number}")),
            path("id.pub"),
            self.tools.display(),
            self.world.path().display(),
        );
        let file = self.world.path().join(format!("sshd{number}.conf"));
        fs::write(&file, conf).unwrap();
        let mut command = self.world.command(debian("sshd").unwrap());
        command.args(["-D", "-e", "-f"]).arg(&file);
        self.hosts[number].1 = Some(self.world.spawn(&format!("sshd{number}"), command));
        wait_for_port(port);
    }

    /// Gives a host another key, as one has that was installed anew.
    pub fn install_anew(&mut self, number: usize) {
        let name = format!("host{number}");
        fs::remove_file(self.world.path().join(&name)).unwrap();
        self.make_key(&name);
        self.shut_down(number);
        self.boot(number);
    }

    /// Puts the keys of all hosts where the head looks.
    pub fn know_all(&self) {
        let mut known = String::new();
        for number in 0..self.hosts.len() {
            let file = self.world.path().join(format!("host{number}.pub"));
            let key = fs::read_to_string(file).unwrap();
            known += &format!("[127.0.0.1]:{} {key}", self.hosts[number].0);
        }
        fs::write(self.world.path().join("known_hosts"), known).unwrap();
    }

    /// A program of these hosts, in place of the one of that name.
    pub fn tool(&self, name: &str, script: &str) {
        let path = self.tools.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn make_key(&self, name: &str) {
        let mut command = self.world.command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.world.path().join(name));
        assert!(command.status().unwrap().success());
    }
}
