//! A lab: a head and several hosts, each with a network of its own, at one switch.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::until;
use crate::storage::peers::debian;
use crate::world::World;

/// The head's address.
pub const HEAD: &str = "10.97.0.1";

static LABS: AtomicU32 = AtomicU32::new(0);

/// Namespaces of this machine. Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    world: World,
    name: String,
    hosts: usize,
    sshds: Vec<Child>,
}

impl Lab {
    /// With so many hosts, at `10.97.0.11` and on, which let one key in. None where that
    /// cannot be made, which is said aloud.
    pub fn start(hosts: usize) -> Option<Self> {
        debian("sshd")?;
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("sql{:x}{number:x}", std::process::id() & 0xf_ffff);
        let mut lab = Self { world: World::new(), name, hosts, sshds: Vec::new() };
        if lab.lay_network().is_none() {
            eprintln!("SKIPPED: no network namespaces here (they need root and iproute2)");
            return None;
        }
        let _ = fs::create_dir_all("/run/sshd");
        lab.make_key("id");
        for number in 1..=hosts {
            lab.boot(number);
        }
        Some(lab)
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// What puts a command onto the head.
    pub fn entrance(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// The keys of a provider for these hosts.
    pub fn keys(&self) -> String {
        let path = |name: &str| self.world.path().join(name).display().to_string();
        let mut known = String::new();
        for number in 1..=self.hosts {
            let key = fs::read_to_string(path(&format!("host{number}.pub"))).unwrap();
            known += &format!("10.97.0.{} {key}", 10 + number);
        }
        fs::write(path("known_hosts"), known).unwrap();
        let program = super::bench::small_program();
        format!(
            "key_file = \"{}\"\nknown_hosts = \"{}\"\nconfig_file = \"/dev/null\"\ndirectory = \"{}\"\n\
             connect_seconds = 2\nprograms.{} = \"{}\"\n\
             [flavors.node]\ncpu = 2\nhosts = \"10.97.0.[11-{}]\"\n",
            path("id"),
            path("known_hosts"),
            path("installed"),
            std::env::consts::ARCH,
            program.display(),
            10 + self.hosts,
        )
    }

    /// Pulls the cable of a host: it does not even refuse.
    pub fn cut(&self, number: usize) {
        let host = format!("{}{number}", self.name);
        ip(&["-n", &host, "link", "set", "e0", "down"]).unwrap();
    }

    fn lay_network(&self) -> Option<()> {
        let head = &self.name;
        ip(&["netns", "add", head])?;
        ip(&["-n", head, "link", "set", "lo", "up"])?;
        ip(&["-n", head, "link", "add", "switch", "type", "bridge"])?;
        ip(&["-n", head, "addr", "add", &format!("{HEAD}/24"), "dev", "switch"])?;
        ip(&["-n", head, "link", "set", "switch", "up"])?;
        for number in 1..=self.hosts {
            let (host, port) = (format!("{head}{number}"), format!("p{number}"));
            ip(&["netns", "add", &host])?;
            ip(&["-n", &host, "link", "set", "lo", "up"])?;
            let peer = ["type", "veth", "peer", "name", "e0", "netns", &host];
            ip(&[&["link", "add", &port, "netns", head][..], &peer].concat())?;
            ip(&["-n", head, "link", "set", &port, "master", "switch", "up"])?;
            let address = format!("10.97.0.{}/24", 10 + number);
            ip(&["-n", &host, "addr", "add", &address, "dev", "e0"])?;
            ip(&["-n", &host, "link", "set", "e0", "up"])?;
        }
        Some(())
    }

    fn boot(&mut self, number: usize) {
        self.make_key(&format!("host{number}"));
        let path = |name: &str| self.world.path().join(name).display().to_string();
        let file = path(&format!("sshd{number}.conf"));
        let conf = format!(
            "ListenAddress 0.0.0.0\nPort 22\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nUseDNS no\n\
             SetEnv TEST={}\n",
            path(&format!("host{number}")),
            path("id.pub"),
            self.world.path().display(),
        );
        fs::write(&file, conf).unwrap();
        let mut command = self.world.command("ip");
        command.args(["netns", "exec", &format!("{}{number}", self.name)]);
        command.arg(debian("sshd").unwrap()).args(["-D", "-e", "-f", &file]);
        let log = format!("sshd{number}");
        self.sshds.push(self.world.spawn(&log, command));
        let log = self.world.path().join("logs").join(log);
        until("a host to let people in", || {
            fs::read_to_string(&log).ok()?.contains("Server listening").then_some(())
        });
    }

    fn make_key(&self, name: &str) {
        let mut command = self.world.command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.world.path().join(name));
        assert!(command.status().unwrap().success());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for mut sshd in self.sshds.drain(..) {
            let _ = sshd.kill();
            let _ = sshd.wait();
        }
        let hosts = (1..=self.hosts).map(|number| format!("{}{number}", self.name));
        for namespace in hosts.chain([self.name.clone()]) {
            // It may never have been made.
            let _ = ip(&["netns", "del", &namespace]);
        }
    }
}

fn ip(arguments: &[&str]) -> Option<()> {
    let ran =
        Command::new("ip").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success()).then_some(())
}
