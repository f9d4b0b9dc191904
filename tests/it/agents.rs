//! Agents that are told things by a server that the test plays.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use crate::harness::{SCITQ, World, until};

/// The server's end of a link.
struct Link(WebSocket<TcpStream>);

impl Link {
    /// The next link, with the hello, welcomed; all that is held is kept.
    fn accept(listener: &TcpListener) -> (Self, Value) {
        listener.set_nonblocking(true).unwrap();
        let (stream, _) = until("an agent to dial", || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut link = Self(accept(stream).unwrap());
        let hello = link.next().unwrap()["hello"].clone();
        let held = hello["held"].as_array().unwrap().iter();
        let verdicts: Vec<Value> = held.map(|held| json!([held["execution"], "keep"])).collect();
        link.send(&json!({ "welcome": {
            "worker": 1, "store": "s", "epoch": 1, "known": true, "wanted": "running",
            "settings": { "batch": "Default", "concurrency": 2, "prefetch": 0 },
            "lost_after_seconds": 600, "verdicts": verdicts, "output": [],
        }}));
        (link, hello)
    }

    fn send(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).unwrap();
    }

    /// The next frame, acknowledged; none when the agent has closed the link.
    fn next(&mut self) -> Option<Value> {
        loop {
            let Ok(message) = self.0.read() else { return None };
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if let Some(number) = frame["reports"]["number"].as_u64() {
                self.send(&json!({ "ack": { "number": number } }));
            } else if let Some(number) = frame["heartbeat"]["number"].as_u64() {
                self.send(&json!({ "heartbeat_ack": { "number": number } }));
            }
            return Some(frame);
        }
    }

    /// Takes frames until one has a report of this event.
    fn until_reported(&mut self, event: &str) -> Value {
        loop {
            let frame = self.next().expect("a link that stays");
            let reports = frame["reports"]["reports"].as_array();
            let found = reports
                .into_iter()
                .flatten()
                .find(|report| report["event"] == event || report["event"].get(event).is_some());
            if let Some(report) = found {
                return report.clone();
            }
        }
    }
}

fn start(execution: u64, script: &str) -> Value {
    json!({ "start": {
        "execution": execution, "task": execution, "attempt": 1,
        "spec": { "command": script, "shell": "sh" },
    }})
}

/// A script that ends when the file is there.
fn waits_for(gate: &Path) -> String {
    format!("until [ -e {} ]; do sleep 0.01; done; exit 6", gate.display())
}

#[test]
fn a_restarted_agent_is_the_same_process_and_its_commands_run_on() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = world.command(SCITQ);
    command.args(["agent", "--name", "w", "--server", &format!("http://{address}"), "--workdir"]);
    command.arg(world.path().join("work"));
    let mut agent = world.spawn("agent", command);
    let (mut link, first) = Link::accept(&listener);
    let gate = world.path().join("gate");
    link.send(&start(1, &waits_for(&gate)));
    link.until_reported("started");
    link.send(&json!("restart"));
    while link.next().is_some() {}

    let (mut link, second) = Link::accept(&listener);
    assert_ne!(first["instance"], second["instance"]);
    assert_eq!(first["name"], second["name"], "it has the same arguments");
    assert_eq!(agent.try_wait().unwrap(), None);
    assert!(second["held"][0]["started_at"].is_string(), "{second}");
    std::fs::write(&gate, "").unwrap();
    let end = link.until_reported("finished");
    assert_eq!(end["event"]["finished"]["outcome"]["exit_code"], 6);
    link.send(&json!({ "settings": {
        "settings": { "batch": "Default", "concurrency": 2, "prefetch": 0 },
        "wanted": "draining", "lost_after_seconds": 600,
    }}));
    while link.next().is_some() {}
    assert!(agent.wait().unwrap().success(), "a drained agent exits with 0");
}
