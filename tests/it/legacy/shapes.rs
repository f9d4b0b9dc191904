//! The REST API of the original by hand: status, names and forms of what is answered, as they
//! were seen on the original's server.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::Server;
use crate::world::until;

struct Reply {
    status: u16,
    head: String,
    body: Value,
}

/// All that is trusted may do all that old clients and workers do.
const TRUSTING: [&str; 4] = ["--trust", "127.0.0.0/8", "--trust-role", "user,agent"];

fn ask(server: &Server, head: &str, body: &Value) -> Reply {
    let text = try_to_ask(server, head, &body.to_string());
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply to {head}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    Reply { status, head: head.to_owned(), body }
}

/// What comes back, which is nothing where the server closes the connection.
fn try_to_ask(server: &Server, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let address = server.address();
    write!(
        stream,
        "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[track_caller]
fn good(server: &Server, head: &str, body: &Value) -> Value {
    let reply = ask(server, head, body);
    assert_eq!(reply.status, 200, "{head}: {}", reply.body);
    reply.body
}

#[track_caller]
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// `2026-11-22T06:29:29.136877`: no zone, six digits or none.
#[track_caller]
fn assert_date(value: &Value) {
    let text = value.as_str().unwrap();
    let (day, time) = text.split_once('T').unwrap();
    assert_eq!((day.len(), time.split('.').next().unwrap().len()), (10, 8), "{text}");
    if let Some((_, fraction)) = time.split_once('.') {
        assert!(fraction.len() == 6 && fraction.bytes().all(|b| b.is_ascii_digit()), "{text}");
    }
}

#[test]
fn a_task_has_all_fields_of_the_original_and_dates_without_a_zone() {
    let server = Server::start_with(&TRUSTING);
    // As `scitq-launch echo hello world` sends it.
    let sent = json!({"command": "echo hello world", "status": "pending", "input": "",
        "container_options": "", "resource": "", "required_task_ids": [], "use_cache": false});
    let made = ask(&server, "POST /tasks/", &sent);
    assert_eq!(made.status, 201);
    assert_eq!(made.head.to_ascii_lowercase().matches("application/json").count(), 1);
    let expected = [
        "batch",
        "command",
        "container",
        "container_options",
        "creation_date",
        "download_timeout",
        "input",
        "modification_date",
        "name",
        "output",
        "required_task_ids",
        "resource",
        "retry",
        "run_timeout",
        "status",
        "status_date",
        "task_id",
        "use_cache",
    ];
    assert_eq!(keys(&made.body), expected);
    for date in ["creation_date", "modification_date", "status_date"] {
        assert_date(&made.body[date]);
    }
    assert_eq!(made.body["batch"], "Default");
    assert_eq!((&made.body["retry"], &made.body["task_id"]), (&json!(0), &json!(1)));
    let shown = good(&server, "GET /tasks/1", &json!({}));
    assert_eq!(shown, made.body);
    assert_eq!(good(&server, "GET /tasks/", &json!({})), json!([made.body]));
}

#[test]
fn lists_are_filtered_by_values_lists_and_nulls_in_the_body_of_a_get() {
    let server = Server::start_with(&TRUSTING);
    for name in ["a", "b", "c"] {
        let task = json!({"command": "true", "name": name, "batch": format!("of {name}")});
        assert_eq!(ask(&server, "POST /tasks/", &task).status, 201);
    }
    ask(&server, "POST /tasks/", &json!({"command": "true", "status": "paused", "retry": "2"}));
    let ids = |filter: Value| {
        let tasks = good(&server, "GET /tasks/", &filter);
        let ids = tasks.as_array().unwrap().iter().map(|task| task["task_id"].as_u64().unwrap());
        ids.collect::<Vec<u64>>()
    };
    assert_eq!(ids(json!({})), [1, 2, 3, 4]);
    assert_eq!(ids(json!({"task_id": [3, 1, 99]})), [1, 3]);
    assert_eq!(ids(json!({"task_id": "2"})), [2]);
    assert_eq!(ids(json!({"name": null})), [4]);
    assert_eq!(ids(json!({"name": ["a", "b"], "batch": "of b"})), [2]);
    assert_eq!(ids(json!({"status": "paused"})), [4]);
    assert_eq!(ids(json!({"retry": 2})), [4]);
    assert_eq!(ids(json!({"name": []})), [0_u64; 0]);
    assert_eq!(ask(&server, "GET /tasks/", &json!({"colour": 1})).status, 400);
    let numbers = good(&server, "GET /tasks/status", &json!({"task_id": [4, 1, 4]}));
    assert_eq!(numbers, json!([0, 2, 0]));
    assert_eq!(good(&server, "GET /tasks/status", &json!({"task_id": []})), json!([]));
    assert_eq!(ask(&server, "GET /tasks/status", &json!({"task_id": [77]})).status, 404);
}

#[test]
fn errors_have_a_message_and_nothing_is_changed() {
    let server = Server::start_with(&TRUSTING);
    for (head, body, status) in [
        ("POST /tasks/", json!({"name": "no command"}), 400),
        ("POST /tasks/", json!({"command": "true", "batch": "a/b"}), 400),
        ("POST /tasks/", json!({"command": "true", "retry": "abc"}), 400),
        ("POST /tasks/", json!({"command": "true", "status": "bogus"}), 400),
        ("POST /tasks/", json!({"command": "true", "required_task_ids": [5]}), 404),
        ("POST /tasks/", json!([1]), 400),
        ("GET /tasks/9", json!({}), 404),
        ("GET /tasks/x", json!({}), 404),
        ("GET /tasks/1/", json!({}), 404),
        ("PUT /tasks/9", json!({"status": "pending"}), 404),
        ("DELETE /tasks/9", json!({}), 404),
        ("GET /workers/9", json!({}), 404),
        ("PUT /workers/9/ping", json!({"load": "", "memory": 1.0, "stats": "{}"}), 404),
        ("POST /workers/", json!({"name": "w", "concurrency": "abc"}), 400),
        ("GET /executions/9", json!({}), 404),
        ("GET /tasks/9/freeze/9", json!({}), 404),
        ("PATCH /tasks/9", json!({}), 405),
        ("PUT /batch/none/stop", json!({}), 404),
    ] {
        let reply = ask(&server, head, &body);
        assert_eq!(reply.status, status, "{head} {body}: {}", reply.body);
        assert!(reply.body["message"].is_string(), "{head}: {}", reply.body);
    }
    let unparsable = try_to_ask(&server, "POST /tasks/", "{");
    assert!(unparsable.starts_with("HTTP/1.1 400"), "{unparsable}");
    assert_eq!(good(&server, "GET /tasks/", &json!({})), json!([]));
    assert_eq!(good(&server, "GET /workers/", &json!({})), json!([]));
    // A worker that is told that its text is not wanted would hang.
    let text = json!({"text": "late"});
    assert_eq!(good(&server, "PUT /executions/9/output", &text), json!({"result": "Ok"}));
}

#[test]
fn a_collection_without_its_slash_is_redirected() {
    let server = Server::start_with(&TRUSTING);
    let reply = ask(&server, "GET /tasks", &json!({}));
    assert_eq!(reply.status, 308);
    let location = format!("location: http://{}/tasks/", server.address());
    assert!(reply.head.to_ascii_lowercase().contains(&location), "{}", reply.head);
}

#[test]
fn a_worker_of_the_original_speaks_and_is_seen_everywhere() {
    let server = Server::start_with(&TRUSTING);
    let sent = json!({"name": "old", "hostname": "there", "concurrency": 2, "status": "paused",
        "permanent": true, "prefetch": 0, "batch": "b"});
    let made = ask(&server, "POST /workers/", &sent);
    assert_eq!(made.status, 201);
    let expected = [
        "batch",
        "concurrency",
        "creation_date",
        "flavor",
        "hostname",
        "last_contact_date",
        "load",
        "memory",
        "modification_date",
        "name",
        "permanent",
        "prefetch",
        "provider",
        "region",
        "stats",
        "status",
        "task_properties",
        "worker_id",
    ];
    assert_eq!(keys(&made.body), expected);
    // Its request may have been repeated: it is the same worker.
    assert_eq!(ask(&server, "POST /workers/", &sent).body["worker_id"], made.body["worker_id"]);
    assert_eq!(made.body["status"], "paused");
    let running = good(&server, "PUT /workers/1", &json!({"status": "running"}));
    assert_eq!(
        (&running["status"], &running["task_properties"]),
        (&json!("running"), &json!("{}"))
    );
    let stats = json!({"load": "1.5 0.5 0.3",
        "disk": {"speed": "2.0/1.0 Mb/s", "usage": ["/:47"], "counter": "0/0 Gb"}});
    let ping = json!({"load": "47.8↑ / 0.0", "memory": 4.4, "stats": stats.to_string()});
    let answer = good(&server, "PUT /workers/1/ping", &ping);
    assert_eq!((&answer["concurrency"], &answer["prefetch"]), (&json!(2), &json!(0)));
    assert_date(&answer["last_contact_date"]);
    let list = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
    assert_eq!(list[0]["stats"]["cpu_user_percent"], 47.8);
    assert_eq!(list[0]["stats"]["disk_percent"]["/"], 47.0);
    assert_eq!(
        (&list[0]["state"], &list[0]["lost_after_seconds"]),
        (&json!("running"), &json!(1800))
    );
}

/// Registers a worker that is ready, with a task of its own.
fn with_execution(server: &Server, task: &Value) -> u64 {
    let worker = json!({"name": "old", "hostname": "h", "concurrency": 1, "status": "running"});
    ask(server, "POST /workers/", &worker);
    assert_eq!(ask(server, "POST /tasks/", task).status, 201);
    good(server, "PUT /workers/1/ping", &json!({"load": "1", "memory": 1.0, "stats": "{}"}));
    let pending = good(server, "GET /workers/1/executions/pending", &json!({}));
    pending[0]["execution_id"].as_u64().unwrap()
}

#[test]
fn an_execution_goes_from_its_acceptance_to_its_end() {
    let server = Server::start_with(&TRUSTING);
    let id = with_execution(&server, &json!({"command": "echo é", "retry": 1}));
    let put = |body: Value| ask(&server, &format!("PUT /executions/{id}"), &body);
    assert_eq!(put(json!({"status": "accepted", "freeze": false})).body["status"], "accepted");
    let active = good(&server, "GET /workers/1/executions", &json!({}));
    let expected = [
        "batch",
        "command",
        "creation_date",
        "execution_id",
        "latest",
        "modification_date",
        "output_files",
        "pid",
        "status",
        "task_id",
        "taskstatus",
    ];
    assert_eq!(keys(&active[0]), expected);
    assert_eq!(active[0]["taskstatus"], "accepted");
    let frozen = good(&server, &format!("GET /tasks/1/freeze/{id}"), &json!({}));
    assert_eq!(frozen["command"], "echo é");
    let container = "5".repeat(64);
    let started = put(json!({"status": "running", "pid": container, "freeze": false}));
    assert_eq!((&started.body["pid"], &started.body["freeze"]), (&json!(container), &Value::Null));
    let refused = put(json!({"status": "accepted"}));
    assert_eq!(refused.status, 409);
    let said = refused.body["message"].as_str().unwrap();
    assert_eq!(said, "An execution cannot change status from running to accepted");
    for text in ["é\n", "second\n"] {
        good(&server, &format!("PUT /executions/{id}/output"), &json!({"text": text}));
    }
    let part = json!({"data": {"output": true, "error": false, "output_position": 3}});
    let read = good(&server, &format!("GET /executions/{id}/output"), &part);
    assert_eq!(read, json!({"output": "second\n"}));
    // A container that was too fast to be followed: the whole text comes at the end.
    let ended = put(json!({"status": "failed", "return_code": 3, "output": "all\n", "error": "",
        "freeze": false}));
    assert_eq!((&ended.body["status"], &ended.body["return_code"]), (&json!("failed"), &json!(3)));
    assert_eq!(ended.body["output"], "all\n");
    // Told again it changes nothing; it had a retry left.
    assert_eq!(put(json!({"status": "failed", "return_code": 3})).status, 200);
    let task = good(&server, "GET /tasks/1", &json!({}));
    assert_eq!((&task["status"], &task["retry"]), (&json!("assigned"), &json!(0)));
    let all = good(&server, "GET /executions/", &json!({"task_id": 1, "reverse": true}));
    assert_eq!((&all[0]["latest"], &all[1]["latest"]), (&json!(true), &json!(false)));
}

#[test]
fn an_old_worker_starts_nothing_that_is_no_longer_wanted() {
    let server = Server::start_with(&TRUSTING);
    let id = with_execution(&server, &json!({"command": "true"}));
    let accepted = json!({"status": "accepted"});
    assert_eq!(ask(&server, &format!("PUT /executions/{id}"), &accepted).status, 200);
    server.scitq(&["manage", "task", "cancel", "--yes", "1"]).ok();
    assert_eq!(server.wait_for("1", &["failed"])["failure"], "cancelled");
    assert_eq!(ask(&server, &format!("GET /tasks/1/freeze/{id}"), &json!({})).status, 404);
    assert_eq!(good(&server, "GET /workers/1/executions", &json!({})), json!([]));
    let late = ask(&server, &format!("PUT /executions/{id}"), &json!({"status": "succeeded"}));
    assert_eq!(late.status, 409);
    assert_eq!(server.task("1")["state"], "failed");
}

#[test]
fn an_edit_reaches_an_old_worker_when_it_starts_the_command() {
    let server = Server::start_with(&TRUSTING);
    let id = with_execution(&server, &json!({"command": "echo old"}));
    ask(&server, &format!("PUT /executions/{id}"), &json!({"status": "accepted"}));
    let edited = good(&server, "PUT /tasks/1", &json!({"command": "echo new"}));
    assert_eq!(edited["command"], "echo new");
    let frozen = good(&server, &format!("GET /tasks/1/freeze/{id}"), &json!({}));
    assert_eq!(frozen["command"], "echo new");
    ask(&server, &format!("PUT /executions/{id}"), &json!({"status": "running", "pid": 1}));
    let ended = json!({"status": "succeeded", "return_code": 0});
    ask(&server, &format!("PUT /executions/{id}"), &ended);
    assert_eq!(good(&server, "GET /tasks/status", &json!({"task_id": [1]})), json!([7]));
}

#[test]
fn a_stop_is_told_by_signals_first_gently() {
    let server = Server::start_with(&TRUSTING);
    let id = with_execution(&server, &json!({"command": "sleep 1000"}));
    for status in ["accepted", "running"] {
        ask(&server, &format!("PUT /executions/{id}"), &json!({"status": status, "pid": 1}));
    }
    // 3 is what old clients send where they mean a stop.
    let stop = json!({"execution_id": id, "signal": 3});
    assert_eq!(good(&server, "POST /workers/1/signals", &stop), Value::Null);
    let signals = until("the signal", || {
        let signals = good(&server, "GET /workers/1/signals", &json!({}));
        signals.as_array().filter(|signals| !signals.is_empty()).cloned()
    });
    assert_eq!(signals, [json!({"execution_id": id, "worker_id": 1, "signal": 15})]);
    assert_eq!(good(&server, "GET /workers/1/signals", &json!({})), json!([]));
    let ended = json!({"status": "failed", "return_code": -15});
    ask(&server, &format!("PUT /executions/{id}"), &ended);
    assert_eq!(server.task("1")["failure"], "cancelled");
}

#[test]
fn a_batch_is_listed_with_its_counts_and_deleted_whatever_requires_it() {
    let server = Server::start_with(&TRUSTING);
    ask(&server, "POST /tasks/", &json!({"command": "true", "batch": "é b"}));
    ask(
        &server,
        "POST /tasks/",
        &json!({"command": "true", "required_task_ids": [1],
        "status": "waiting"}),
    );
    let line = json!({"batch": "é b", "pending": 1, "accepted": null, "running": null,
        "failed": null, "succeeded": null, "workers": null});
    let list = good(&server, "GET /batch/", &json!({}));
    assert_eq!(list[1], line);
    assert_eq!(list[0]["pending"], Value::Null);
    for _ in 0..2 {
        let deleted = good(&server, "DELETE /batch/%C3%A9%20b", &json!({}));
        assert_eq!(deleted, json!({"result": "Ok"}));
    }
    // What required it is still there, and blocked.
    assert_eq!(server.task("2")["state"], "waiting");
    assert_eq!(ask(&server, "DELETE /tasks/2", &json!({})).body["status"], "waiting");
    assert_eq!(good(&server, "GET /tasks/", &json!({})), json!([]));
}

#[test]
fn who_is_not_trusted_or_not_for_this_is_told_401_and_never_403() {
    let server = Server::start();
    let reply = ask(&server, "GET /tasks/", &json!({}));
    assert_eq!(reply.status, 401);
    assert!(reply.body["message"].as_str().unwrap().contains("--trust"), "{}", reply.body);
    let server = Server::start_with(&["--trust", "127.0.0.1"]);
    assert_eq!(ask(&server, "POST /tasks/", &json!({"command": "true"})).status, 201);
    let worker = json!({"name": "w", "concurrency": 1});
    let reply = ask(&server, "POST /workers/", &worker);
    assert_eq!(reply.status, 401);
    assert!(reply.body["message"].as_str().unwrap().contains("--trust-role agent"));
    let server = Server::start_with(&["--trust", "127.0.0.1", "--trust-role", "read"]);
    assert_eq!(ask(&server, "GET /tasks/", &json!({})).status, 200);
    assert_eq!(ask(&server, "POST /tasks/", &json!({"command": "true"})).status, 401);
    let server = Server::start_with(&["--trust", "127.0.0.1", "--no-v1"]);
    assert_eq!(ask(&server, "GET /tasks/", &json!({})).status, 404);
}

#[test]
fn the_rclone_file_is_told_only_where_the_site_shares_it() {
    let server = Server::start_with(&TRUSTING);
    assert_eq!(ask(&server, "GET /config/rclone", &json!({})).status, 404);
    assert_eq!(good(&server, "GET /config/remote", &json!({})), json!(""));
    let file = server.path().join("rclone.conf");
    std::fs::write(&file, "[s3]\ntype = s3\n").unwrap();
    let shared = format!("--v1-share-rclone={}", file.display());
    let server = Server::start_with(&[&TRUSTING[..], &[&shared]].concat());
    assert_eq!(good(&server, "GET /config/rclone", &json!({})), json!("[s3]\ntype = s3\n"));
}
