//! Two machines with a network of their own between them, made of namespaces.
//! Needs root and `ip`.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::world::World;

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A head and a worker that reach each other and nothing else. Gone when dropped.
#[derive(Debug)]
pub struct Network {
    head: String,
    worker: String,
}

impl Network {
    /// None, and a word on stderr, where this machine does not allow it.
    ///
    /// # Panics
    /// It is not allowed, and `CI=true` says that nothing may be skipped.
    pub fn new() -> Option<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("sq{:x}{end}{number:x}", std::process::id() & 0xf_ffff);
        let network = Self { head: name("h"), worker: name("w") };
        if network.make().is_some() {
            return Some(network);
        }
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!is_ci, "network namespaces are needed (root, iproute2)");
        eprintln!("SKIPPED: no network namespaces here (they need root and iproute2)");
        None
    }

    /// The head's namespace.
    pub fn head(&self) -> &str {
        &self.head
    }

    pub fn head_ip(&self) -> &str {
        "10.99.0.1"
    }

    /// The worker's namespace.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    pub fn worker_ip(&self) -> &str {
        "10.99.0.2"
    }

    /// A program in one of the two.
    pub fn command(&self, world: &World, namespace: &str, program: &str) -> Command {
        let mut command = world.command("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    fn make(&self) -> Option<()> {
        for namespace in [&self.head, &self.worker] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        let ends = (format!("{}v", self.head), format!("{}v", self.worker));
        let peer = ["type", "veth", "peer", "name", &ends.1, "netns", &self.worker];
        ip(&[&["link", "add", &ends.0, "netns", &self.head][..], &peer].concat())?;
        for (namespace, end, address) in
            [(&self.head, &ends.0, self.head_ip()), (&self.worker, &ends.1, self.worker_ip())]
        {
            ip(&["-n", namespace, "addr", "add", &format!("{address}/24"), "dev", end])?;
            ip(&["-n", namespace, "link", "set", end, "up"])?;
        }
        Some(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.head, &self.worker] {
            // It may never have been made.
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

fn ip(arguments: &[&str]) -> Option<()> {
    let ran =
        Command::new("ip").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success()).then_some(())
}
