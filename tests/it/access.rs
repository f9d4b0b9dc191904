//! Who may do what: tokens, roles, trusted addresses.
#![expect(clippy::zombie_processes, reason = "the world ends what lives in it")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World, until};

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

#[test]
fn a_token_ends_when_it_was_asked_to_and_tells_when_it_was_used() {
    let server = Server::start();
    let create = ["manage", "token", "create", "--role", "user", "--name"];
    let short = [&create[..], &["short", "--expires-in", "1s"]].concat();
    let short = server.scitq(&short).ok().text().to_owned();
    let long = [&create[..], &["long", "--expires-in", "30d"]].concat();
    let long = server.scitq(&long).ok().text().to_owned();
    let list = ["manage", "task", "list"];
    until("the token to end", || {
        let ran = server.scitq_as(Some(&short), &list);
        ran.stderr.contains("has expired").then_some(())
    });
    server.scitq_as(Some(&long), &list).ok();
    let row = |server: &Server, name: &str| {
        let tokens = server.scitq(&["manage", "token", "list", "--json"]).ok().json();
        tokens.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
    };
    let used = row(&server, "long");
    assert!(used["last_used_at"].is_string() && used["expires_at"].is_string(), "{used}");
    assert!(row(&server, "admin")["expires_at"].is_null());
    // Also after a restart.
    let mut server = server;
    assert!(server.stop().success());
    server.restart();
    assert_eq!(row(&server, "long"), used);
    server.scitq_as(Some(&short), &list).refused(1, "has expired");
}

#[test]
fn who_did_what_can_be_read_by_administrators() {
    let server = Server::start();
    let user = token(&server, "user");
    let id = server.scitq_as(Some(&user), &["launch", "--", "true"]).ok().text().to_owned();
    server.scitq_as(Some(&user), &["manage", "task", "delete", &id, "--yes"]).ok();
    let audit = ["manage", "server", "audit", "--json"];
    server.scitq_as(Some(&user), &audit).refused(1, "role `user`");
    let by = [&audit[..], &["--who", "user"]].concat();
    let entries = server.scitq(&by).ok().json();
    let actions: Vec<&str> =
        entries.as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"task.delete"), "{entries}");
    let tokens = [&audit[..], &["--action", "token.", "--limit", "1"]].concat();
    let entries = server.scitq(&tokens).ok().json();
    assert_eq!(entries.as_array().unwrap().len(), 1);
    assert_eq!(entries[0]["action"], "token.create");
}

#[test]
fn many_wrong_tokens_are_answered_shortly_and_right_ones_as_always() {
    let server = Server::start();
    let ask = |token: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let request = format!(
            "GET /api/v2/server HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let answers: Vec<String> = (0..40).map(|number| ask(&format!("scitq_{number}"))).collect();
    assert_eq!(answers[..30], vec!["401"; 30]);
    assert_eq!(answers[30..], vec!["429"; 10]);
    assert_eq!(ask(&server.admin_token()), "200");
    let log = fs::read_to_string(server.path().join("logs/server")).unwrap();
    assert_eq!(log.matches("wrong tokens").count(), 1, "{log}");
}

/// Everything that is written, told or shown, with the finest logs.
#[test]
fn no_secret_is_in_logs_errors_process_lists_or_replies() {
    let world = World::new();
    let data = world.path().join("data");
    let mut serve = Server::serve_command(&world, "127.0.0.1:0", &data);
    serve.args(["--tls", "self"]).env("SCITQ_LOG", "trace");
    world.spawn("server", serve);
    let secret_of = |token: &str| token.trim().split('.').next().unwrap().to_owned();
    let (url, admin) = until("the server to listen", || {
        let file: serde_json::Value =
            serde_json::from_slice(&fs::read(data.join("server.json")).ok()?).ok()?;
        let token = fs::read_to_string(data.join("admin.token")).ok()?;
        Some((file["address"].as_str()?.to_owned(), token.trim().to_owned()))
    });
    let run = |token: &str, arguments: &[&str]| {
        let mut command = world.command(SCITQ);
        command.args(arguments).env("SCITQ_SERVER", &url).env("SCITQ_TOKEN", token);
        Ran::of(command)
    };
    let create = ["manage", "token", "create", "--name", "join", "--role", "agent"];
    let join = run(&admin, &create).ok().text().to_owned();
    let mut agent = world.command(SCITQ);
    agent.args(["agent", "--name", "w", "--workdir"]).arg(world.path().join("work"));
    agent.env("SCITQ_SERVER", &url).env("SCITQ_TOKEN", &join).env("SCITQ_LOG", "trace");
    world.spawn("agent", agent);
    let ran = run(&admin, &["launch", "--follow", "--", "env"]).ok();
    let mut told = vec![ran.to_string()];
    let bound = fs::read_to_string(world.path().join("work/agent.token")).unwrap();
    let wrong = "scitq_wrong-but-somebodys";
    let secrets = [admin.as_str(), &join, &bound, wrong].map(secret_of);
    told.push(world.command_lines().join("\n"));
    for arguments in [
        &["manage", "token", "list", "--json"][..],
        &["manage", "server", "audit", "--json"],
        &["manage", "worker", "list", "--json"],
        &["manage", "server", "status", "--json"],
        &["manage", "task", "show", "1", "--json"],
        &["manage", "task", "show", "99"],
    ] {
        told.push(run(&admin, arguments).to_string());
    }
    told.push(run(wrong, &["manage", "task", "list"]).to_string());
    told.push(run(&format!("{admin}x"), &["manage", "task", "list"]).to_string());
    for log in fs::read_dir(world.path().join("logs")).unwrap().flatten() {
        told.push(String::from_utf8_lossy(&fs::read(log.path()).unwrap()).into_owned());
    }
    assert!(told.iter().any(|text| text.contains("TRACE")), "the logs are not the finest");
    for secret in &secrets {
        for text in &told {
            let line = text.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "a secret is told");
        }
    }
}
