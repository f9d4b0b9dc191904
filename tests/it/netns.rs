//! Two machines with a network of their own between them, made of namespaces.
//! Needs root and `ip`.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::world::World;

/// The head's address for the worker.
pub const HEAD_IP: &str = "10.99.0.1";
/// The worker's address for the head.
pub const WORKER_IP: &str = "10.99.0.2";
/// The worker's address for the client.
pub const GATE_IP: &str = "10.98.0.1";

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A head and a worker that reach each other and nothing else. Gone when dropped.
#[derive(Debug)]
pub struct Network {
    head: String,
    worker: String,
    /// A third machine, which reaches the worker and not the head.
    client: Option<String>,
}

impl Network {
    /// None, and a word on stderr, where this machine does not allow it.
    ///
    /// # Panics
    /// It is not allowed, and `CI=true` says that nothing may be skipped.
    pub fn new() -> Option<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("sq{:x}{end}{number:x}", std::process::id() & 0xf_ffff);
        Self::made(Self { head: name("h"), worker: name("w"), client: None })
    }

    /// The same with a client beside the worker, from which no way leads to the head.
    pub fn with_client() -> Option<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("sq{:x}{end}{number:x}", std::process::id() & 0xf_ffff);
        Self::made(Self { head: name("h"), worker: name("w"), client: Some(name("c")) })
    }

    fn made(network: Self) -> Option<Self> {
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

    /// The worker's namespace.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// The client's namespace, where there is one.
    pub fn client(&self) -> &str {
        self.client.as_deref().unwrap_or(&self.worker)
    }

    /// A program in one of them.
    pub fn command(world: &World, namespace: &str, program: &str) -> Command {
        let mut command = world.command("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    fn make(&self) -> Option<()> {
        for namespace in [&self.head, &self.worker].into_iter().chain(&self.client) {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        connect((&self.head, HEAD_IP), (&self.worker, WORKER_IP))?;
        match &self.client {
            Some(client) => connect((&self.worker, GATE_IP), (client, "10.98.0.2")),
            None => Some(()),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.head, &self.worker].into_iter().chain(&self.client) {
            // It may never have been made.
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

/// Lays a line between two namespaces, each end with its address.
fn connect(near: (&str, &str), far: (&str, &str)) -> Option<()> {
    let ends = (format!("{}v", near.0), format!("{}u", far.0));
    let peer = ["type", "veth", "peer", "name", &ends.1, "netns", far.0];
    ip(&[&["link", "add", &ends.0, "netns", near.0][..], &peer].concat())?;
    for ((namespace, address), end) in [(near, &ends.0), (far, &ends.1)] {
        ip(&["-n", namespace, "addr", "add", &format!("{address}/24"), "dev", end])?;
        ip(&["-n", namespace, "link", "set", end, "up"])?;
    }
    Some(())
}

fn ip(arguments: &[&str]) -> Option<()> {
    let ran =
        Command::new("ip").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success()).then_some(())
}
