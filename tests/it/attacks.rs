//! What somebody does who wishes the server ill, or speaks its language badly.
//! `docs/security.md` tells what was tried and what held.

mod agents;
mod words;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Ran, Server, until};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the server on which no read lasts for ever.
fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that comes until the server closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an answer as well.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The server does what it is there for, and nothing in it has panicked.
#[track_caller]
fn is_well(server: &Server) {
    server.launch(&["--", "true"]);
    server.scitq(&["manage", "server", "status"]).ok();
    let log = fs::read_to_string(server.path().join("logs/server")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

/// Memory of the server's process, bytes.
fn memory(server: &Server) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/statm", server.pid())).unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// Who never ends the head of a request is cut off, and holds up nobody.
#[test]
fn slow_requests_are_cut_off() {
    let server = Server::start();
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..200).map(|_| connect(&server)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /api/v2/server HTTP/1.1\r\nhost: h\r\nx: ").unwrap();
    }
    is_well(&server);
    let mut one = slow.pop().unwrap();
    let mut drip = one.try_clone().unwrap();
    // One byte at a time keeps nobody alive.
    let dripping = thread::spawn(move || {
        until("the connection to be closed", || drip.write_all(b"x").err());
    });
    assert!(!rest(&mut one).contains("200"));
    dripping.join().unwrap();
    for stream in &mut slow {
        rest(stream);
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    is_well(&server);
}

#[test]
fn huge_heads_and_bodies_are_refused_before_they_are_kept() {
    let server = Server::start();
    let before = memory(&server);
    let mut streams = Vec::new();
    for number in 0..50 {
        let mut stream = connect(&server);
        stream.write_all(b"GET /api/v2/server HTTP/1.1\r\nhost: h\r\n").unwrap();
        let line = format!("x-{number}: {}\r\n", "a".repeat(8 << 10));
        // The server closes before all of it has been sent.
        let sent = (0..64).take_while(|_| stream.write_all(line.as_bytes()).is_ok()).count();
        let answer = rest(&mut stream);
        assert!(answer.is_empty() || answer.contains(" 431 "), "{sent} lines: {answer}");
        streams.push(stream);
    }
    // A body that nobody has shown a token for is not read.
    for path in ["/api/v2/tasks", "/api/v2/tokens"] {
        let mut stream = connect(&server);
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 9999999999\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let piece = vec![b'['; 1 << 20];
        let sent = (0..200).take_while(|_| stream.write_all(&piece).is_ok()).count();
        assert!(sent < 200, "the server takes all that is sent");
        assert!(rest(&mut stream).contains(" 401 ") || sent < 100);
    }
    is_well(&server);
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 64 << 20, "the server has grown by {} MiB", grown >> 20);
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    let most = limit.maximum.map_or(10_000, |most| most.saturating_sub(600).min(10_000));
    if most < 10_000 {
        eprintln!("only {most} connections: the system allows no more");
    }
    let server = Server::start();
    let before = memory(&server);
    let follow = format!(
        "GET /api/v2/events HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\r\n",
        server.admin_token()
    );
    let mut idle = Vec::new();
    for number in 0..most {
        // Most follow what happens, which is nothing; the others say nothing at all.
        let mut stream = connect(&server);
        if number % 10 > 0 {
            stream.write_all(follow.as_bytes()).unwrap();
        }
        idle.push(stream);
    }
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(open as u64 > most / 10 * 9, "{open} of {most} are open");
    is_well(&server);
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 512 << 20, "{} MiB for {most} connections", grown >> 20);
    drop(idle);
    is_well(&server);
}

/// Wrong bytes of every kind, many of them nearly right.
#[test]
fn what_is_no_http_changes_nothing() {
    let server = Server::start();
    let tasks = || server.scitq(&["manage", "task", "list", "--json"]).ok().json();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let token = server.admin_token();
    let right = format!(
        "POST /api/v2/tasks HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: 30\r\n\r\n\
         {{\"tasks\":[{{\"command\":\"true\"}}]}}"
    );
    let smuggled = [
        "POST /api/v2/tasks HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        "POST /api/v2/tasks HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/v2/tasks HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "GET /api/v2/tasks HTTP/1.1\r\nhost: h\r\nauthorization: Bearer \0\r\n\r\n",
        "GET /api/v2/tasks HTTP/1.1\r\nhost: h\r\n authorization: Bearer x\r\n\r\n",
        "GET /api/v2/../../etc/passwd HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET h://other/api/v2/tasks HTTP/1.1\r\nhost: h\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
    ];
    for text in smuggled {
        let mut stream = connect(&server);
        stream.write_all(text.as_bytes()).unwrap();
        // It may be closed already.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = rest(&mut stream);
        let is_refused = answer.is_empty() || answer.contains(" 40") || answer.contains(" 50");
        assert!(is_refused, "{text:?}: {answer}");
    }
    let head = right.find("\r\n\r\n").unwrap();
    for _ in 0..300 {
        let mut bytes = right.clone().into_bytes();
        // Something in the head is another byte, so that it is no such request any more.
        for _ in 0..=dice.below(8) {
            let place = dice.below(head);
            bytes[place] = dice.bytes(1)[0];
        }
        let mut stream = connect(&server);
        // The server may close before all is sent.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        rest(&mut stream);
        let mut noise = connect(&server);
        let length = dice.below(2_000);
        let _ = noise.write_all(&dice.bytes(length));
        let _ = noise.shutdown(std::net::Shutdown::Write);
        rest(&mut noise);
    }
    for task in tasks().as_array().unwrap() {
        // Where it was still a right request, it was done as it says.
        assert_eq!(task["created_by"], "admin", "{task}");
    }
    is_well(&server);
}

/// A TLS port that is spoken to in anything else.
#[test]
fn what_is_no_tls_is_no_trouble() {
    let server = Server::start_with(&["--tls", "self"]);
    let mut dice = Dice(7);
    for length in 0..200 {
        let mut stream = connect(&server);
        let mut bytes = vec![22, 3, 1];
        bytes.extend(dice.bytes(length));
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        rest(&mut stream);
    }
    is_well(&server);
}

#[test]
fn what_says_a_command_line_is_never_taken_for_an_option_of_another() {
    let server = Server::start();
    for address in ["ssh://-oProxyCommand=touch%20x", "ssh://h%0aProxyCommand=x"] {
        let mut command = server.command(&["manage", "task", "list"]);
        command.env("SCITQ_SERVER", address);
        Ran::of(command).refused(78, "no server address");
    }
}
