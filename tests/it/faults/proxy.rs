//! A wire that can be cut, held up, and that says requests twice or loses their
//! replies: a proxy between programs and the server.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::checks::Silence;

/// What the wire does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// They wait until it is open again, as in a network that is overloaded.
    Stalled,
    /// Connections break, and new ones are not taken.
    Cut,
}

/// What the wire does with requests that carry an idempotency key, and with
/// each of them when it comes for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    None,
    /// It says it twice at the same time, and once more when it was answered.
    SayAgain,
    /// It breaks the connection when the reply comes, which does not get through.
    LoseReply,
}

#[derive(Debug)]
pub struct Proxy {
    address: String,
    wire: Arc<Wire>,
}

#[derive(Debug)]
struct Wire {
    server: String,
    trick: Trick,
    latency: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    way: Way,
    streams: Vec<TcpStream>,
    /// When bytes last came through to the server, seconds since boot.
    last: f64,
    /// Longer times without.
    silences: Vec<(f64, f64)>,
    /// Keys of requests that have come before.
    keys: BTreeSet<String>,
    is_over: bool,
}

/// Shorter silences are between two heartbeats.
const SILENCE: f64 = 6.0;

/// Both ends of a connection, and whether the next reply is to be lost.
struct Connection {
    client: TcpStream,
    server: TcpStream,
    loses_reply: AtomicBool,
}

/// The first request in some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    length: usize,
    key: Option<String>,
    /// What follows it is no request.
    is_last: bool,
}

impl Proxy {
    /// Before this server, from a free port of its own.
    pub fn before(server: &str, latency: Duration, trick: Trick) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State {
            way: Way::Open,
            streams: Vec::new(),
            last: since_boot(),
            silences: Vec::new(),
            keys: BTreeSet::new(),
            is_over: false,
        };
        let wire = Arc::new(Wire {
            server: server.to_owned(),
            trick,
            latency,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let at_work = Arc::clone(&wire);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if at_work.lock().is_over {
                    return;
                }
                let wire = Arc::clone(&at_work);
                std::thread::spawn(move || wire.carry(client));
            }
        });
        Self { address, wire }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn set(&self, way: Way) {
        let mut state = self.wire.lock();
        state.way = way;
        if way == Way::Cut {
            for stream in state.streams.drain(..) {
                // The other side may have closed it.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.wire.changed.notify_all();
    }

    /// So many requests came with a key.
    pub fn keyed_requests(&self) -> usize {
        self.wire.lock().keys.len()
    }

    /// When the server heard nothing over this wire for a while.
    pub fn silences(&self, worker: &str) -> Vec<Silence> {
        let state = self.wire.lock();
        let present = (state.last, since_boot());
        let all = state.silences.iter().copied().chain([present]);
        all.map(|(from, to)| Silence { worker: worker.to_owned(), from, to }).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.lock().is_over = true;
        self.set(Way::Cut);
        // Wakes the listener, which then ends.
        drop(TcpStream::connect(&self.address));
    }
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until bytes may pass; false when the wire is cut.
    fn may_pass(&self) -> bool {
        let stalled = |state: &mut State| state.way == Way::Stalled;
        let state = self.changed.wait_while(self.lock(), stalled).unwrap();
        state.way == Way::Open
    }

    fn carry(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        let both = [&client, &server].map(|stream| {
            stream.set_nodelay(true).unwrap();
            stream.try_clone().unwrap()
        });
        {
            let mut state = self.lock();
            if state.way == Way::Cut {
                return;
            }
            state.streams.extend(both);
        }
        let connection =
            Arc::new(Connection { client, server, loses_reply: AtomicBool::new(false) });
        let (wire, down) = (Arc::clone(&self), Arc::clone(&connection));
        let back = std::thread::spawn(move || wire.carry_down(&down));
        self.carry_up(&connection);
        connection.end();
        back.join().unwrap();
    }

    fn carry_down(&self, connection: &Connection) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = (&connection.server).read(&mut buffer) {
            let is_lost = connection.loses_reply.load(Ordering::SeqCst);
            if is_lost || !self.pass(&connection.client, &buffer[..count]) {
                break;
            }
        }
        connection.end();
    }

    fn carry_up(&self, connection: &Connection) {
        let mut buffer = vec![0; 64 << 10];
        let mut pending: Vec<u8> = Vec::new();
        let mut is_http = true;
        while let Ok(count @ 1..) = (&connection.client).read(&mut buffer) {
            if !is_http {
                if !self.pass(&connection.server, &buffer[..count]) {
                    return;
                }
                self.note_word();
                continue;
            }
            pending.extend_from_slice(&buffer[..count]);
            while let Some(request) = Request::first_in(&pending) {
                let rest = pending.split_off(request.length);
                let bytes = std::mem::replace(&mut pending, rest);
                if !self.pass_request(connection, &request, &bytes) {
                    return;
                }
                is_http = !request.is_last;
            }
            if !is_http && !self.pass(&connection.server, &std::mem::take(&mut pending)) {
                return;
            }
        }
    }

    fn pass_request(&self, connection: &Connection, request: &Request, bytes: &[u8]) -> bool {
        let is_new =
            request.key.as_ref().is_some_and(|key| self.lock().keys.insert(key.to_owned()));
        if is_new && self.trick == Trick::LoseReply {
            connection.loses_reply.store(true, Ordering::SeqCst);
        }
        let mut other = None;
        if is_new && self.trick == Trick::SayAgain {
            let (server, bytes) = (self.server.clone(), bytes.to_vec());
            other = Some(std::thread::spawn(move || {
                for _ in 0..2 {
                    say_alone(&server, &bytes);
                }
            }));
        }
        let passed = self.pass(&connection.server, bytes);
        self.note_word();
        if let Some(other) = other {
            other.join().unwrap();
        }
        passed
    }

    fn pass(&self, mut to: &TcpStream, bytes: &[u8]) -> bool {
        if !self.latency.is_zero() {
            std::thread::park_timeout(self.latency);
        }
        self.may_pass() && to.write_all(bytes).is_ok()
    }

    fn note_word(&self) {
        let now = since_boot();
        let mut state = self.lock();
        if now - state.last > SILENCE {
            let silence = (state.last, now);
            state.silences.push(silence);
        }
        state.last = now;
    }
}

impl Connection {
    fn end(&self) {
        for stream in [&self.client, &self.server] {
            // The other side may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Request {
    fn first_in(bytes: &[u8]) -> Option<Self> {
        let head = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let header = |name: &str| {
            text.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let body: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
        let length = head + body;
        let request =
            Self { length, key: header("idempotency-key"), is_last: header("upgrade").is_some() };
        (bytes.len() >= length).then_some(request)
    }
}

/// Sends a request over a connection of its own and waits for the answer, which
/// nobody wants.
fn say_alone(server: &str, bytes: &[u8]) {
    let Ok(mut stream) = TcpStream::connect(server) else { return };
    let mut answer = vec![0; 64 << 10];
    // A server that has just been killed answers nothing.
    let _ = stream.write_all(bytes).and_then(|()| stream.read(&mut answer));
}

/// Seconds since boot, as the commands of the tasks read them.
pub fn since_boot() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn requests_are_told_apart_on_the_wire() {
    let two = b"POST /a HTTP/1.1\r\nIdempotency-Key: k\r\ncontent-length: 3\r\n\r\nabcGET /b HT";
    let first = Request::first_in(two).unwrap();
    assert_eq!((first.key.as_deref(), first.is_last), (Some("k"), false));
    assert_eq!(&two[first.length..], b"GET /b HT");
    assert_eq!(Request::first_in(&two[first.length..]), None);
}
