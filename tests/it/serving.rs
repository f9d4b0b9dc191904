//! `scitq serve`: how it starts, refuses to start, and stops.

use std::fs;

use crate::harness::{Ran, Server, World};

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    let command = Server::serve_command(server.world(), "127.0.0.1:0", &server.data());
    let ran = Ran::of(command);
    assert!(!ran.status.success() && ran.stderr.contains("another server"), "{ran}");
    server.launch(&["--", "true"]);
}

#[test]
fn a_port_in_use_is_named() {
    let server = Server::start();
    let data = server.path().join("other");
    let ran = Ran::of(Server::serve_command(server.world(), server.address(), &data));
    assert!(!ran.status.success() && ran.stderr.contains(server.address()), "{ran}");
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let world = World::new();
    let file = world.path().join("file");
    fs::write(&file, "").unwrap();
    let data = file.join("data");
    let ran = Ran::of(Server::serve_command(&world, "127.0.0.1:0", &data));
    assert!(!ran.status.success() && ran.stderr.contains(data.to_str().unwrap()), "{ran}");
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let mut server = Server::start();
    server.launch(&["--", "true"]);
    assert!(server.stop().success());
    let file = server.data().join("scitq.db");
    #[expect(clippy::disallowed_methods, reason = "a database that the server does not know")]
    let database = rusqlite::Connection::open(&file).unwrap();
    database.pragma_update(None, "user_version", 9999).unwrap();
    drop(database);
    let ran = Ran::of(Server::serve_command(server.world(), "127.0.0.1:0", &server.data()));
    assert!(!ran.status.success() && ran.stderr.contains("9999"), "{ran}");
}

#[test]
fn it_stops_when_told_and_knows_everything_when_it_comes_back() {
    let mut server = Server::start();
    let id = server.launch(&["--name", "kept", "--", "true"]);
    assert!(server.stop().success());
    server.scitq(&["manage", "task", "list"]).refused(69, server.address());
    server.restart();
    assert_eq!(server.task(&id)["name"], "kept");
}

#[test]
fn with_an_agent_it_goes_on_with_its_commands_when_it_comes_back() {
    let mut server = Server::start_with(&["--with-agent=1"]);
    let go = server.path().join("go").display().to_string();
    let command = format!("until [ -e {go} ]; do sleep 0.02; done; echo done");
    let id = server.launch(&["--shell", "--", &command]);
    server.wait_for(&id, &["running"]);
    assert!(server.stop().success());
    server.restart();
    fs::write(&go, "").unwrap();
    let task = server.wait_for(&id, &["failed", "succeeded"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()));
    assert_eq!(server.stdout(&id), b"done\n");
}
