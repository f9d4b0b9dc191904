//! The HTTP contract, spoken by hand: what another program relies on.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Server;

struct Reply {
    status: u16,
    body: Value,
}

fn send(server: &Server, head: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = BufWriter::new(TcpStream::connect(server.address()).unwrap());
    write!(stream, "{head} HTTP/1.1\r\nhost: {}\r\n", server.address()).unwrap();
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n").unwrap();
    }
    write!(stream, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    stream.into_inner().unwrap()
}

fn ask(server: &Server, head: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = [headers, &[("connection", "close")]].concat();
    let mut text = String::new();
    send(server, head, &headers, body).read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

fn bearer(server: &Server) -> String {
    format!("Bearer {}", server.admin_token())
}

#[test]
fn a_request_sent_twice_queues_once() {
    let server = Server::start();
    let token = bearer(&server);
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "one"),
    ];
    let body = r#"{"tasks":[{"command":"true"},{"command":["echo","a b"]}]}"#;
    for _ in 0..2 {
        let reply = ask(&server, "POST /api/v2/tasks", &headers, body);
        assert_eq!((reply.status, reply.body), (201, json!({"ids": [1, 2]})));
    }
    let other = r#"{"tasks":[{"command":"false"}]}"#;
    let reply = ask(&server, "POST /api/v2/tasks", &headers, other);
    assert_eq!((reply.status, &reply.body["code"]), (409, &json!("conflict")));
    let list = ask(&server, "GET /api/v2/tasks", &headers[..1], "");
    assert_eq!(list.body["tasks"].as_array().unwrap().len(), 2);
}

#[test]
fn a_reply_is_known_after_the_server_was_killed() {
    let mut server = Server::start();
    let token = bearer(&server);
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", "one"),
    ];
    let body = r#"{"tasks":[{"command":"true"}]}"#;
    assert_eq!(ask(&server, "POST /api/v2/tasks", &headers, body).status, 201);
    server.kill9();
    server.restart();
    let reply = ask(&server, "POST /api/v2/tasks", &headers, body);
    assert_eq!((reply.status, reply.body), (201, json!({"ids": [1]})));
}

#[test]
fn errors_are_of_the_closed_set_and_say_what_is_wrong() {
    let server = Server::start();
    let token = bearer(&server);
    let known = [("authorization", token.as_str()), ("content-type", "application/json")];
    let misspelled = r#"{"tasks":[{"command":"true","retries":3}]}"#;
    let cases = [
        ("GET /api/v2/tasks", &[][..], "", 401, "unauthenticated", "token"),
        ("GET /api/v2/nothing", &known, "", 404, "not-found", "/api/v2/nothing"),
        ("GET /api/v2/tasks/77", &known, "", 404, "not-found", "77"),
        ("POST /api/v2/tasks", &known, "{", 400, "invalid", ""),
        ("POST /api/v2/tasks", &known, misspelled, 400, "invalid", "retries"),
    ];
    for (head, headers, body, status, code, part) in cases {
        let reply = ask(&server, head, headers, body);
        assert_eq!((reply.status, &reply.body["code"]), (status, &json!(code)), "{head}");
        assert!(reply.body["message"].as_str().unwrap().contains(part), "{head}: {}", reply.body);
        assert_ne!(reply.body["request_id"], "", "{head}");
    }
}

#[test]
fn the_server_describes_itself_as_the_committed_document_does() {
    let server = Server::start();
    let token = bearer(&server);
    let headers = [("authorization", token.as_str())];
    let reply = ask(&server, "GET /api/v2/openapi.json", &headers, "");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let committed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.body == committed);
    assert!(committed["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn followers_hear_of_changes_and_go_on_where_they_were() {
    let server = Server::start();
    let token = bearer(&server);
    let authorization = ("authorization", token.as_str());
    let stream = send(&server, "GET /api/v2/events", &[authorization], "");
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    // The head of the reply has come: from here on every change is told.
    lines.by_ref().find(String::is_empty).unwrap();
    let id = server.launch(&["--", "true"]);
    let (first, event) = next_event(&mut lines);
    let task: u64 = id.parse().unwrap();
    assert_eq!((&event["kind"], &event["id"]), (&json!("task"), &json!(task)));
    let later = server.launch(&["--", "true"]);
    let again = [authorization, ("last-event-id", first.as_str())];
    let stream = send(&server, "GET /api/v2/events", &again, "");
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let (_, event) = next_event(&mut lines);
    assert_eq!(event["id"], later.parse::<u64>().unwrap());
    let unknown = [authorization, ("last-event-id", "1-1")];
    let stream = send(&server, "GET /api/v2/events", &unknown, "");
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert_eq!(next_event(&mut lines).1["kind"], "reset");
}

/// The id and the content of the next event.
fn next_event(lines: &mut impl Iterator<Item = String>) -> (String, Value) {
    let mut id = String::new();
    for line in lines {
        if let Some(text) = line.strip_prefix("id: ") {
            text.clone_into(&mut id);
        }
        if let Some(text) = line.strip_prefix("data: ") {
            return (id, serde_json::from_str(text).unwrap());
        }
    }
    panic!("the stream of events ended");
}
