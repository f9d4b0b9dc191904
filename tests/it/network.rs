//! Networks as people have them: a long way to the server, a line that hangs,
//! one that loses packets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::terminal::has_programs;

/// A way to a server on which every byte takes a while.
#[derive(Debug)]
pub struct LongWay {
    address: String,
    state: Arc<Way>,
}

#[derive(Debug)]
struct Way {
    /// One way.
    delay: Duration,
    is_held: AtomicBool,
    connections: AtomicUsize,
}

impl LongWay {
    /// Listens on a port of its own and passes everything on to this address,
    /// after a delay in each direction.
    pub fn to(server: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let way = Way { delay, is_held: AtomicBool::new(false), connections: AtomicUsize::new(0) };
        let state = Arc::new(way);
        let (server, shared) = (server.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(near) = near else { return };
                // A server that is not there closes the connection at once.
                let Ok(far) = TcpStream::connect(&server) else { continue };
                shared.connections.fetch_add(1, Ordering::Relaxed);
                carry(near.try_clone().unwrap(), far.try_clone().unwrap(), &shared);
                carry(far, near, &shared);
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nothing arrives, in either direction; no connection breaks.
    pub fn hold(&self) {
        self.state.is_held.store(true, Ordering::Relaxed);
    }

    pub fn release(&self) {
        self.state.is_held.store(false, Ordering::Relaxed);
    }

    /// Connections that were made over it.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

/// Carries bytes one way: one thread notes when they came, one lets them go on.
fn carry(mut from: TcpStream, mut to: TcpStream, way: &Arc<Way>) {
    let (sender, arrivals) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if sender.send((Instant::now(), bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    let way = Arc::clone(way);
    to.set_nodelay(true).unwrap();
    std::thread::spawn(move || {
        for (came, bytes) in arrivals {
            let due = came + way.delay;
            while way.is_held.load(Ordering::Relaxed) || Instant::now() < due {
                let left = due.saturating_duration_since(Instant::now());
                std::thread::park_timeout(left.max(Duration::from_millis(1)));
            }
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// A network of its own, with nothing in it but a loopback device that loses
/// every twentieth packet. Gone when dropped.
#[derive(Debug)]
pub struct LossyNetwork {
    holder: Child,
    /// Closed, it ends the holder.
    _stdin: ChildStdin,
}

impl LossyNetwork {
    /// None where such a network cannot be made, which is said aloud.
    pub fn make() -> Option<Self> {
        let needed = [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")];
        if !has_programs("tests over a line that loses packets", &needed)
            || !has_programs("tests over a line that loses packets", &[("iptables", "iptables")])
        {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root makes a network that loses packets");
            return None;
        }
        let script = "ip link set lo up && iptables -A INPUT -p tcp -m statistic \
            --mode random --probability 0.05 -j DROP && echo ready && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = holder.stdin.take().unwrap();
        let mut said = [0; 6];
        if holder.stdout.as_mut().unwrap().read_exact(&mut said).is_ok() && said == *b"ready\n" {
            return Some(Self { holder, _stdin: stdin });
        }
        drop(stdin);
        let mut reason = String::new();
        let _ = holder.stderr.take().unwrap().read_to_string(&mut reason);
        let _ = holder.wait();
        eprintln!("SKIPPED: no network that loses packets can be made here: {}", reason.trim());
        None
    }

    /// What to put in front of a command, so that it runs there.
    pub fn entrance(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.holder.id())]
    }
}

impl Drop for LossyNetwork {
    fn drop(&mut self) {
        // It holds nothing but the network.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
