//! Agents that lie: with the tokens of others, with frames of others, with noise.

use std::io::{Read, Write};
use std::net::TcpStream;

use scitq::api::link::{Down, Hello, PROTOCOL, Report, ReportEvent, Start, Up, Welcome};
use scitq::domain::execution::{Failure, FailureClass, Outcome, OutputSizes};
use scitq::domain::worker::{Machine, WorkerSettings};
use scitq::domain::{BatchName, ExecutionId, TaskId, Timestamp};

use super::{Dice, connect, is_well};
use crate::harness::Server;

/// The agent's end of a link, spoken by hand.
struct Link {
    stream: TcpStream,
}

impl Link {
    fn open(server: &Server, token: &str) -> Self {
        let mut stream = connect(server);
        let secret = token.split('.').next().unwrap();
        let head = format!(
            "GET /api/v2/agent/link HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {secret}\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        Self { stream }
    }

    /// Joins as the worker of that name; none when it is refused.
    fn join(server: &Server, token: &str, name: &str) -> (Self, Option<Welcome>) {
        let mut link = Self::open(server, token);
        link.say(&Up::Hello(Box::new(Hello {
            protocol: PROTOCOL,
            version: "2.0.0".to_owned(),
            name: name.to_owned(),
            machine: Machine { machine_id: name.to_owned(), cores: 1, ..Machine::default() },
            instance: format!("instance of {name}"),
            boot_id: "boot".to_owned(),
            settings: WorkerSettings { batch: BatchName::default(), concurrency: 1, prefetch: 0 },
            store: None,
            held: Vec::new(),
            draining: false,
            lease_seconds: None,
            orphans: Vec::new(),
        })));
        let welcome = link.hear(|down| match down {
            Down::Welcome(welcome) => Some(Some(*welcome)),
            Down::Refused { .. } => Some(None),
            _ => None,
        });
        (link, welcome)
    }

    fn say(&mut self, up: &Up) {
        self.frame(1, serde_json::to_string(up).unwrap().as_bytes());
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) {
        let mut frame = vec![0x80 | kind];
        match bytes.len() {
            length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                frame.push(0x80 | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        // A mask that changes nothing.
        frame.extend([0; 4]);
        frame.extend(bytes);
        self.stream.write_all(&frame).unwrap();
    }

    /// The next frame for which `wanted` answers.
    fn hear<T>(&mut self, wanted: impl Fn(Down) -> Option<T>) -> T {
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head).unwrap();
            let mut long = [0; 8];
            let length = match head[1] & 0x7f {
                126 => {
                    self.stream.read_exact(&mut long[6..]).unwrap();
                    u64::from_be_bytes(long)
                }
                127 => {
                    self.stream.read_exact(&mut long).unwrap();
                    u64::from_be_bytes(long)
                }
                length => length.into(),
            };
            let mut bytes = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut bytes).unwrap();
            if head[0] & 0xf == 1
                && let Some(found) = wanted(serde_json::from_slice(&bytes).unwrap())
            {
                return found;
            }
        }
    }

    /// Reports, and waits until the server has taken it.
    fn report(&mut self, number: u64, execution: ExecutionId, task: TaskId, event: ReportEvent) {
        let report = Report { execution, task, revision: 0, at: Timestamp(1), event };
        self.say(&Up::Reports { number, reports: vec![report] });
        self.hear(|down| {
            matches!(down, Down::Ack { number: got, .. } if got == number).then_some(())
        });
    }

    fn next_start(&mut self) -> Start {
        self.hear(|down| match down {
            Down::Start(start) => Some(*start),
            _ => None,
        })
    }
}

fn finished(failure: Option<Failure>) -> ReportEvent {
    let outcome = Outcome { failure, exit_code: Some(0), ..Outcome::good() };
    ReportEvent::Finished { outcome, output: OutputSizes::default(), ended_at: None, cached: None }
}

fn join_token(server: &Server) -> String {
    let create = ["manage", "token", "create", "--name", "join", "--role", "agent"];
    server.scitq(&create).ok().text().to_owned()
}

#[test]
fn a_worker_speaks_for_itself_alone_and_each_frame_counts_once() {
    let server = Server::start();
    let join = join_token(&server);
    let (mut good, welcome) = Link::join(&server, &join, "good");
    let (mut bad, _) = Link::join(&server, &join, "bad");
    let bound = welcome.unwrap().token.unwrap();
    // The token of a worker makes no other.
    let (_, refused) = Link::join(&server, &bound, "third");
    assert!(refused.is_none(), "a worker's token made another worker");
    let id = server.launch(&["--batch", "Default", "--retry", "0", "--", "true"]);
    server.scitq(&["manage", "worker", "update", "bad", "--concurrency", "0"]);
    // Whoever got it: the other one lies about it.
    let task = TaskId(id.parse().unwrap());
    let held = server.wait_for(&id, &["assigned"]);
    let execution: ExecutionId = serde_json::from_value(held["execution"].clone()).unwrap();
    let worker = held["worker_name"].as_str().unwrap_or_default().to_owned();
    let (owner, liar) = if worker == "bad" { (&mut bad, &mut good) } else { (&mut good, &mut bad) };
    assert_eq!(owner.next_start().execution, execution);
    liar.report(1, execution, task, ReportEvent::Accepted);
    liar.report(2, execution, task, ReportEvent::Started);
    liar.report(3, execution, task, finished(None));
    assert_eq!(server.task(&id)["state"], "assigned");
    owner.report(1, execution, task, ReportEvent::Accepted);
    owner.report(2, execution, task, ReportEvent::Started);
    assert_eq!(server.task(&id)["state"], "running");
    owner.report(3, execution, task, finished(None));
    let ended = server.wait_for(&id, &["succeeded"]);
    // All of it once more, and with another end.
    let failure = Failure { class: FailureClass::Exit, reason: "replayed".to_owned() };
    for (number, event) in
        [(4, ReportEvent::Accepted), (5, ReportEvent::Started), (6, finished(Some(failure)))]
    {
        owner.report(number, execution, task, event);
    }
    let after = server.task(&id);
    assert_eq!((&after["state"], &after["attempts"]), (&ended["state"], &ended["attempts"]));
    is_well(&server);
}

#[test]
fn noise_on_a_link_ends_that_link_and_nothing_else() {
    let server = Server::start();
    let join = join_token(&server);
    let mut dice = Dice(42);
    let (_good, welcome) = Link::join(&server, &join, "good");
    assert!(welcome.is_some());
    for round in 0..200 {
        let (mut link, _) = Link::join(&server, &join, &format!("noisy-{}", round % 5));
        let length = 1 + dice.below(300);
        let bytes = dice.bytes(length);
        match round % 5 {
            // Frames with wrong bits, lengths and masks.
            0 => drop(link.stream.write_all(&bytes)),
            1 => link.frame(1, &bytes),
            2 => link.frame(2, &bytes),
            3 => link.frame(1, br#"{"reports":{"number":1,"reports":[{"execution":1e99}]}}"#),
            _ => link.frame(u8::try_from(dice.below(16)).unwrap(), &bytes[..bytes.len().min(100)]),
        }
        drop(link.stream.shutdown(std::net::Shutdown::Write));
        let mut rest = Vec::new();
        // It may be cut off by a reset.
        let _ = link.stream.read_to_end(&mut rest);
    }
    let workers = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
    let good = workers.as_array().unwrap().iter().find(|worker| worker["name"] == "good").unwrap();
    assert_eq!(good["seen"], "online");
    is_well(&server);
}
