//! Servers that are busy, cut connections or answer wrongly.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use scitq::storage::{RemoteErrorKind, StorageError};

use super::peers::{self, Peer};
use super::tree::names;
use crate::world::World;

/// What a client asked for.
struct Request {
    method: String,
    /// In small letters.
    headers: BTreeMap<String, String>,
}

/// What it is answered.
struct Reply {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The connection ends after so many bytes of the body.
    cut_after: Option<usize>,
}

/// A web server that does as a test says; requests are numbered from 0.
struct BadServer {
    port: u16,
    requests: Arc<AtomicUsize>,
    bytes: Arc<AtomicU64>,
}

impl BadServer {
    fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, bytes) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let (answer, count, sum) = (Arc::new(answer), Arc::clone(&requests), Arc::clone(&bytes));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, count, sum) =
                    (Arc::clone(&answer), Arc::clone(&count), Arc::clone(&sum));
                thread::spawn(move || serve(&stream, &*answer, &count, &sum));
            }
        });
        Self { port, requests, bytes }
    }

    fn peer(&self) -> Peer {
        let port = self.port;
        let conf = format!(
            "[store]\ntype = s3\nprovider = Other\naccess_key_id = AK\nsecret_access_key = SK\nendpoint = http://127.0.0.1:{port}\n"
        );
        Peer::new(World::new(), &conf, &format!("http://127.0.0.1:{port}/"))
    }
}

fn serve(
    stream: &TcpStream,
    answer: &(dyn Fn(&Request, usize) -> Reply + Send + Sync),
    count: &AtomicUsize,
    sum: &AtomicU64,
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let method = lines.next()?.ok()?.split(' ').next()?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let request = Request { method, headers };
    let reply = answer(&request, count.fetch_add(1, Ordering::SeqCst));
    let mut text = format!("HTTP/1.1 {}\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n", reply.body.len());
    let mut stream = stream;
    stream.write_all(text.as_bytes()).ok()?;
    if request.method != "HEAD" {
        let end = reply.cut_after.unwrap_or(usize::MAX).min(reply.body.len());
        stream.write_all(&reply.body[..end]).ok()?;
        sum.fetch_add(end as u64, Ordering::SeqCst);
    }
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 1]);
    Some(())
}

fn content() -> Vec<u8> {
    (0..1_250_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// The content or the range of it that is asked for, as a well-behaved server sends it.
fn good(request: &Request, tag: &str) -> Reply {
    let whole = content();
    let range = request.headers.get("range").and_then(|range| {
        let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
        let from = from.parse::<usize>().ok()?;
        Some((from, to.parse::<usize>().map_or(whole.len(), |to| (to + 1).min(whole.len()))))
    });
    let mut headers = vec![
        ("ETag", format!("\"{tag}\"")),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
    ];
    let Some((from, to)) = range else {
        return Reply { status: "200 OK", headers, body: whole, cut_after: None };
    };
    headers.push(("Content-Range", format!("bytes {from}-{}/{}", to - 1, whole.len())));
    let body = whole[from..to].to_vec();
    Reply { status: "206 Partial Content", headers, body, cut_after: None }
}

fn busy(status: &'static str, seconds: u32) -> Reply {
    let headers = vec![("Retry-After", seconds.to_string())];
    Reply { status, headers, body: Vec::new(), cut_after: None }
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let server = BadServer::start(|request, number| match number {
        0 | 3 => busy("503 Service Unavailable", 0),
        1 | 4 => busy("429 Too Many Requests", 1),
        _ => good(request, "a"),
    });
    let peer = server.peer();
    peer.fetch("x", "in").await.unwrap();
    assert_eq!(fs::read(peer.path("in/x")).unwrap(), content());
    let server = BadServer::start(|request, number| match number % 2 {
        0 => busy("503 Slow Down", 0),
        _ => good(request, "a"),
    });
    let peer = server.peer();
    let uri = "store://bucket/x".parse().unwrap();
    let listing = scitq::storage::list(&uri, &peer.transfer()).await.unwrap();
    assert_eq!(listing.bytes(), content().len() as u64);
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_asks_for_an_hour_is_given_up_for_now() {
    let server = BadServer::start(|_, _| busy("503 Service Unavailable", 3600));
    let error = server.peer().fetch("x", "in").await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("the server answers 503"), "{error}");
}

#[tokio::test]
async fn a_cut_transfer_goes_on_where_it_was() {
    let server = BadServer::start(|request, number| {
        let cut_after = (request.method == "GET").then_some(1_000_000 + number * 300_000);
        Reply { cut_after, ..good(request, "a") }
    });
    let peer = server.peer();
    peer.fetch("x", "in").await.unwrap();
    assert_eq!(fs::read(peer.path("in/x")).unwrap(), content());
    assert_eq!(names(&peer.path("in")), ["x"]);
    // What was sent and lost on the way is little.
    assert!(server.bytes.load(Ordering::SeqCst) < 7_000_000);
}

#[tokio::test]
async fn a_file_that_changes_in_the_middle_is_noticed() {
    let server = BadServer::start(|request, number| match number {
        0 => good(request, "a"),
        1 => Reply { cut_after: Some(1_000_000), ..good(request, "a") },
        _ => good(request, "b"),
    });
    let peer = server.peer();
    let error = peer.fetch("x", "in").await.unwrap_err();
    assert!(matches!(error, StorageError::Changed { .. }), "{error}");
    assert!(error.is_transient());
    peer.fetch("x", "in").await.unwrap();
    assert_eq!(fs::read(peer.path("in/x")).unwrap(), content());
}

#[tokio::test]
async fn another_checksum_is_an_error() {
    let server = BadServer::start(|request, _| {
        let mut reply = good(request, "a");
        reply.headers.push(("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==".to_owned()));
        reply
    });
    let peer = server.peer();
    let error = peer.fetch("x", "in").await.unwrap_err();
    assert!(matches!(error, StorageError::Checksum { .. }), "{error}");
    assert_eq!(names(&peer.path("in")), Vec::<String>::new());
    // Asked what it is, and fetched twice.
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_that_refuses_to_tell_is_asked_for_the_first_byte() {
    let server = BadServer::start(|request, _| match request.method.as_str() {
        "HEAD" => Reply { status: "405 Not Allowed", ..busy("", 0) },
        _ => good(request, "a"),
    });
    let peer = server.peer();
    assert_eq!(peer.fetch("x", "in").await.unwrap().bytes, content().len() as u64);
}

#[tokio::test]
async fn nobody_there_may_pass() {
    let port = peers::free_port();
    let peer = Peer::new(World::new(), "", &format!("http://127.0.0.1:{port}/"));
    let error = peer.fetch("x", "in").await.unwrap_err();
    assert!(
        matches!(error, StorageError::Remote { kind: RemoteErrorKind::Temporary, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("onnection refused"), "{error}");
}

/// Lets data through, and cuts the first connections after ever more bytes.
fn cutting_proxy(to: u16, cuts: usize) -> u16 {
    proxy(
        to,
        move |number| {
            if number < cuts { 700_000 + number as u64 * 900_000 } else { u64::MAX }
        },
    )
}

/// Lets so many bytes through each connection.
fn proxy(to: u16, limit: impl Fn(usize) -> u64 + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            let limit = limit(number);
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let pump = |from: TcpStream, to: TcpStream, limit: u64| {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from.try_clone().unwrap().take(limit), &mut &to);
                    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                });
            };
            pump(client.try_clone().unwrap(), server.try_clone().unwrap(), limit);
            pump(server, client, limit);
        }
    });
    port
}

/// Sends and fetches through a proxy that cuts connections at points that are
/// other ones in each run; the seed is told where that fails.
async fn survives_cuts(peer: Peer) {
    let conf = fs::read_to_string(peer.path("rclone.conf")).unwrap();
    let port = conf.split(['\n', '/']).find_map(|part| {
        part.strip_prefix("port = ").or_else(|| part.strip_prefix("127.0.0.1:"))?.parse().ok()
    });
    let port: u16 = port.unwrap();
    let seed = u64::from(port) * 7_919;
    let through = |to: u16| conf.replace(&port.to_string(), &to.to_string());
    let big: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::create_dir(peer.path("send")).unwrap();
    fs::write(peer.path("send/big"), &big).unwrap();
    fs::write(peer.path("rclone.conf"), through(random_cuts(port, 2, seed))).unwrap();
    let sent = peer.send("send", "cut/").await;
    sent.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    fs::write(peer.path("rclone.conf"), through(random_cuts(port, 2, seed + 1))).unwrap();
    let fetched = peer.fetch("cut/", "in").await;
    fetched.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert!(fs::read(peer.path("in/big")).unwrap() == big, "seed {seed}: another content");
    assert_eq!(names(&peer.path("in")), ["big"]);
}

/// Lets data through, and cuts the first connections after some bytes.
fn random_cuts(to: u16, cuts: usize, seed: u64) -> u16 {
    let point = move |number: usize| {
        let mixed = (seed + number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        200_000 + mixed % 5_000_000
    };
    proxy(to, move |number| if number < cuts { point(number) } else { u64::MAX })
}

#[tokio::test]
async fn webdav_survives_connections_that_are_cut() {
    let Some(peer) = peers::webdav() else { return };
    survives_cuts(peer).await;
}

#[tokio::test]
async fn sftp_survives_connections_that_are_cut() {
    let Some(peer) = peers::sftp() else { return };
    survives_cuts(peer).await;
}

#[tokio::test]
async fn azure_survives_connections_that_are_cut() {
    let Some(peer) = peers::azure() else { return };
    survives_cuts(peer).await;
}

#[tokio::test]
async fn s3_survives_connections_that_are_cut() {
    let Some(mut peer) = peers::s3() else { return };
    let conf = fs::read_to_string(peer.path("rclone.conf")).unwrap();
    let port: u16 =
        conf.split("127.0.0.1:").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    let proxied = conf.replace(&port.to_string(), &cutting_proxy(port, 6).to_string());
    let folder = peer.path("send");
    fs::create_dir(&folder).unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(folder.join("big"), &big).unwrap();
    fs::write(peer.path("rclone.conf"), proxied).unwrap();
    peer.base = "store://bucket/".to_owned();
    peer.send("send", "cut/").await.unwrap();
    fs::write(
        peer.path("rclone.conf"),
        conf.replace(&port.to_string(), &cutting_proxy(port, 4).to_string()),
    )
    .unwrap();
    peer.fetch("cut/", "in").await.unwrap();
    assert!(fs::read(peer.path("in/big")).unwrap() == big, "another content");
}
