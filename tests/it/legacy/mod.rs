//! The clients and the worker of the original, version 1.3.8 from `PyPI`, unchanged, against our
//! server. `tests/peers` installs them.
//!
//! They know no port but 5000, and none but the one server of a host. So each test has an
//! address of its own on the loopback network, all of which is this machine.

#![expect(clippy::zombie_processes, reason = "the world ends what lives in it")]

mod command_line;
mod import;
mod library;
mod outage;
mod shapes;
mod worker;
mod workflow;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::Server;
use crate::world::Ran;

/// What is in front of the id that `scitq-launch` prints.
const QUEUED: &str = "Task queued with task id: ";

/// A server for old clients.
pub struct Old {
    pub server: Server,
    host: String,
}

impl Old {
    /// None where the original is not installed: that is told, and fails with `CI=true`.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    pub fn start_with(options: &[&str]) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let host = own_address().to_string();
        let trusting = ["--trust", "127.0.0.0/8", "--trust-role", "user,agent"];
        let options = [&trusting, options].concat();
        let server = Server::start_at(&format!("{host}:5000"), &options);
        Some(Self { server, host })
    }

    /// A program of the original, or its Python, or any other in their environment.
    pub fn program(&self, name: &str) -> Command {
        let of_the_original = venv().join("bin").join(name);
        let program = if of_the_original.exists() { of_the_original } else { name.into() };
        let mut command = self.server.world().command(program);
        command.env("SCITQ_SERVER", &self.host);
        command
    }

    /// Queues a task with `scitq-launch`, and returns its id.
    #[track_caller]
    pub fn launch(&self, arguments: &[&str]) -> String {
        let mut command = self.program("scitq-launch");
        command.args(arguments);
        let ran = Ran::of(command).ok();
        let id = ran.text().strip_prefix(QUEUED).unwrap_or_else(|| panic!("no id: {ran}"));
        id.to_owned()
    }

    /// Runs `scitq-manage`.
    pub fn manage(&self, arguments: &[&str]) -> Ran {
        let mut command = self.program("scitq-manage");
        command.args(arguments);
        Ran::of(command)
    }

    /// Runs a script of this folder.
    pub fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/legacy");
        let mut command = self.program("python");
        command.arg(folder.join(name)).args(arguments);
        command
    }

    /// Starts an old worker. It is seen when it asks for the first time.
    pub fn worker(&self, name: &str, concurrency: u32, batch: &str) -> Child {
        let mut command = self.program("scitq-worker");
        let scratch = self.server.path().join("scratch").join(name);
        std::fs::create_dir_all(&scratch).unwrap();
        command
            .args([&self.host, &concurrency.to_string(), "-n", name, "-b", batch, "-a", "100"])
            .env("BASE_WORKDIR", scratch);
        // Its containers are those of the engine that the tests have.
        if let Some(engine) = std::env::var_os("DOCKER_HOST") {
            command.env("DOCKER_HOST", engine);
        }
        self.server.world().spawn(name, command)
    }
}

/// Whether the original is there. Says so if not; with `CI=true` that fails.
fn is_installed() -> bool {
    if venv().join("scitq-1.3.8.done").exists() {
        return true;
    }
    let said = "SKIPPED: scitq 1.3.8 is not installed (tests/peers does it)";
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    false
}

fn venv() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/legacy/venv")
}

/// An address that no other test has at this time: process ids have 22 bits, addresses of the
/// loopback network 24.
fn own_address() -> Ipv4Addr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    // What is beyond the four that a process has is spread by a prime.
    let place = (std::process::id() + (number << 22) + (number >> 2) * 7_919) & 0xff_ffff;
    // The first addresses are what people use.
    let place = if place < 256 { place + 0x80_0000 } else { place };
    Ipv4Addr::from(0x7f00_0000 | place)
}
