//! Who may do what: tokens, roles, trusted addresses.

use std::fs;

use crate::harness::{AgentOptions, Server};

/// Makes a token and returns its secret.
fn token(server: &Server, role: &str) -> String {
    let create = ["manage", "token", "create", "--name", role, "--role", role, "--json"];
    server.scitq(&create).ok().json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn without_a_token_nothing_is_told() {
    let server = Server::start();
    for arguments in [&["manage", "task", "list"][..], &["launch", "--", "true"]] {
        server.scitq_as(None, arguments).refused(1, "token");
        server.scitq_as(Some("wrong"), arguments).refused(1, "token");
    }
}

#[test]
fn each_role_may_do_its_part() {
    let server = Server::start();
    let (user, read, agent) =
        (token(&server, "user"), token(&server, "read"), token(&server, "agent"));
    let launch = ["launch", "--", "true"];
    let list = ["manage", "task", "list"];
    let create = ["manage", "token", "create", "--name", "x", "--role", "admin"];
    server.scitq_as(Some(&user), &launch).ok();
    server.scitq_as(Some(&user), &list).ok();
    server.scitq_as(Some(&user), &create).refused(1, "user");
    server.scitq_as(Some(&read), &launch).refused(1, "read");
    server.scitq_as(Some(&read), &list).ok();
    server.scitq_as(Some(&agent), &launch).refused(1, "agent");
    assert_eq!(server.task("1")["created_by"], "user");
}

#[test]
fn a_revoked_token_is_worth_nothing() {
    let server = Server::start();
    let secret = token(&server, "user");
    let tokens = server.scitq(&["manage", "token", "list", "--json"]).ok().json();
    let row = tokens.as_array().unwrap().iter().find(|row| row["name"] == "user").unwrap();
    server.scitq(&["manage", "token", "revoke", &row["id"].to_string(), "--yes"]).ok();
    server.scitq_as(Some(&secret), &["manage", "task", "list"]).refused(1, "token");
}

#[test]
fn secrets_are_not_kept_in_plain() {
    let server = Server::start();
    let secret = token(&server, "user");
    for entry in fs::read_dir(server.data()).unwrap().flatten() {
        let Ok(bytes) = fs::read(entry.path()) else { continue };
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{} has the token", entry.path().display());
    }
}

#[test]
fn an_agent_joins_with_its_role_and_comes_back_with_what_it_was_given() {
    let mut server = Server::start();
    let env = [("SCITQ_TOKEN".to_owned(), token(&server, "agent"))].into();
    let agent = server.agent(AgentOptions { env, ..AgentOptions::default() });
    let id = server.launch(&["--", "true"]);
    server.wait_for(&id, &["succeeded"]);
    server.kill9_agent(agent);
    server.start_agent(agent);
    let id = server.launch(&["--", "true"]);
    server.wait_for(&id, &["succeeded"]);
}

#[test]
fn trusted_addresses_need_no_token() {
    let server = Server::start_with(&["--trust", "127.0.0.0/8"]);
    server.scitq_as(None, &["launch", "--", "true"]).ok();
    assert!(server.task("1")["created_by"].as_str().unwrap().contains("127.0.0.1"));
    let elsewhere = Server::start_with(&["--trust", "10.0.0.0/8"]);
    elsewhere.scitq_as(None, &["launch", "--", "true"]).refused(1, "token");
}
