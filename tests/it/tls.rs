//! Encryption: the server's own certificate, which tokens name; certificates
//! that an authority vouches for; and tokens that came in plain.
#![expect(clippy::zombie_processes, reason = "the world ends what lives in it")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World, until};
use crate::netns::{self, Network};

/// The fingerprint of the certificate at an address, as OpenSSL sees it.
fn shown_certificate(world: &World, address: &str) -> String {
    let script = format!(
        "openssl s_client -connect {address} </dev/null 2>/dev/null \
         | openssl x509 -noout -fingerprint -sha256"
    );
    let mut command = world.command("sh");
    command.args(["-c", &script]);
    let ran = Ran::of(command).ok();
    ran.text().split('=').nth(1).unwrap_or_default().to_owned()
}

/// A token's fingerprint in the form in which OpenSSL shows it.
fn named_certificate(token: &str) -> String {
    let fingerprint = token.split_once('.').expect("the token names a certificate").1;
    let fingerprint: scitq::api::fingerprint::Fingerprint = fingerprint.parse().unwrap();
    fingerprint.in_hexadecimal()
}

/// Says a few words to the server and returns all that it answers.
fn said_in_plain(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn with_its_own_certificate_everything_is_encrypted() {
    let mut server = Server::start_with(&["--tls", "self"]);
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let agent = server.agent(AgentOptions::default());
    let ran = server.scitq(&["launch", "--follow", "--", "echo", "over tls"]).ok();
    assert_eq!(ran.text(), "over tls");
    // A new agent process, with the token that the server gave the first one.
    server.kill9_agent(agent);
    server.start_agent(agent);
    let bound = fs::read_to_string(server.workdir(agent).join("agent.token")).unwrap();
    let shown = shown_certificate(server.world(), server.address());
    assert_eq!(named_certificate(&bound), shown);
    assert_eq!(named_certificate(&server.admin_token()), shown);
    assert_eq!(server.stop_agent(agent).code(), Some(0));
    // The same certificate after a restart, so that tokens stay what they are.
    assert!(server.stop().success());
    server.restart();
    assert_eq!(shown_certificate(server.world(), server.address()), shown);
    server.scitq(&["manage", "task", "list"]).ok();
}

#[test]
fn plain_and_encrypted_share_the_port() {
    let server = Server::start_with(&["--tls", "self"]);
    let token = server.admin_token();
    for token in [token.as_str(), token.split('.').next().unwrap()] {
        let request = format!(
            "GET /api/v2/server HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\
             authorization: Bearer {token}\r\n\r\n"
        );
        let answer = said_in_plain(server.address(), &request);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let mut command = server.world().command("curl");
    command.args(["-sS", "-m", "10", "--cacert"]).arg(server.data().join("tls.crt"));
    command.arg(format!("{}/api/v2/openapi.json", server.url()));
    assert!(Ran::of(command).ok().text().contains("openapi"));
}

#[test]
fn another_certificate_than_the_one_in_the_token_is_told_nothing() {
    let mut server = Server::start_with(&["--tls", "self"]);
    let token = server.admin_token();
    assert!(server.stop().success());
    for name in ["tls.crt", "tls.key"] {
        fs::remove_file(server.data().join(name)).unwrap();
    }
    server.restart();
    let list = ["manage", "task", "list"];
    server.scitq_as(Some(&token), &list).refused(69, "not to be trusted");
    server.scitq_as(Some(token.split('.').next().unwrap()), &list).refused(69, "not to be trusted");
    let cut = token.get(..token.len() - 1).unwrap();
    server.scitq_as(Some(cut), &list).refused(78, "damaged");
    // The file of the server's own user has the new one.
    assert_ne!(server.admin_token(), token);
    server.scitq(&list).ok();
}

#[test]
fn a_bare_name_is_encrypted_when_the_token_names_a_certificate() {
    let server = Server::start_with(&["--tls", "self"]);
    let token = server.admin_token();
    server.scitq_as(Some(&token), &["--server", server.address(), "manage", "task", "list"]).ok();
    let plain = "http://head:5000";
    let ran = server.scitq_as(Some(&token), &["--server", plain, "manage", "task", "list"]);
    ran.refused(78, "could read it");
}

/// Files of an authority of the test's own, and of a server that it vouches for.
fn authority(world: &World) -> (PathBuf, PathBuf, PathBuf) {
    let script = "
        set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
            -subj '/CN=test authority' -keyout ca.key -out ca.crt
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -subj '/CN=localhost' -keyout new.key -out server.csr
        printf 'subjectAltName=DNS:localhost\\nextendedKeyUsage=serverAuth\\n' >names
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
            -extfile names -out new.crt
        mv new.key server.key; mv new.crt server.crt";
    let mut command = world.command("sh");
    command.args(["-c", script]);
    Ran::of(command).ok();
    let file = |name: &str| world.path().join(name);
    (file("ca.crt"), file("server.crt"), file("server.key"))
}

#[test]
fn a_renewed_certificate_counts_after_a_hang_up_and_a_broken_one_never() {
    let world = World::new();
    let (ca, certificate, key) = authority(&world);
    let data = world.path().join("data");
    let mut command = Server::serve_command(&world, "127.0.0.1:0", &data);
    command.arg("--tls-cert").arg(&certificate).arg("--tls-key").arg(&key);
    let server = world.spawn("server", command);
    let port = until("the server to listen", || {
        let text = fs::read(data.join("server.json")).ok()?;
        let file: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(file["address"].as_str()?.rsplit(':').next()?.to_owned())
    });
    let address = format!("localhost:{port}");
    let token = fs::read_to_string(data.join("admin.token")).unwrap();
    assert!(!token.contains('.'), "others vouch for this certificate");
    let list = |trusted: Option<&PathBuf>| {
        let mut command = world.command(SCITQ);
        command.args(["--server", &format!("https://{address}"), "manage", "task", "list"]);
        command.env("SCITQ_TOKEN", token.trim());
        command.env("SSL_CERT_FILE", trusted.unwrap_or(&world.path().join("none")));
        Ran::of(command)
    };
    list(Some(&ca)).ok();
    assert_ne!(list(None).code(), 0);
    let first = shown_certificate(&world, &address);
    let log = || fs::read_to_string(world.path().join("logs/server")).unwrap();
    fs::write(&key, "broken").unwrap();
    kill_process(Pid::from_child(&server), Signal::HUP).unwrap();
    until("the server to say that it keeps the old one", || {
        log().contains("the certificate from before stays").then_some(())
    });
    assert_eq!(shown_certificate(&world, &address), first);
    authority(&world);
    kill_process(Pid::from_child(&server), Signal::HUP).unwrap();
    until("the server to read the new one", || {
        log().contains("read the certificate anew").then_some(())
    });
    assert_ne!(shown_certificate(&world, &address), first);
    list(Some(&ca)).ok();
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_at_the_start() {
    let world = World::new();
    let missing = world.path().join("missing.pem");
    let mut command = Server::serve_command(&world, "127.0.0.1:0", &world.path().join("data"));
    command.arg("--tls-cert").arg(&missing).arg("--tls-key").arg(&missing);
    Ran::of(command).refused(78, missing.to_str().unwrap());
    let mut command = Server::serve_command(&world, "127.0.0.1:0", &world.path().join("data"));
    command.arg("--tls-cert").arg(&missing);
    Ran::of(command).refused(2, "--tls-key");
}

#[test]
fn a_token_in_plain_is_taken_from_this_machine_only() {
    let Some(network) = Network::new() else { return };
    let world = World::new();
    let serve = |data: &str, options: &[&str]| {
        let data = world.path().join(data);
        let mut command = Network::command(&world, network.head(), SCITQ);
        command.args(["serve", "--listen", &format!("{}:0", netns::HEAD_IP), "--data"]);
        command.arg(&data).args(options);
        world.spawn("server", command);
        until("the server to listen", || {
            let text = fs::read(data.join("server.json")).ok()?;
            let file: serde_json::Value = serde_json::from_slice(&text).ok()?;
            let token = fs::read_to_string(data.join("admin.token")).ok()?;
            Some((file["address"].as_str()?.to_owned(), token.trim().to_owned()))
        })
    };
    let list = |namespace: &str, server: &str, token: Option<&str>| {
        let mut command: Command = Network::command(&world, namespace, SCITQ);
        command.args(["--server", server, "manage", "task", "list"]);
        command.env("XDG_RUNTIME_DIR", world.path().join("tmp"));
        command.envs(token.map(|token| ("SCITQ_TOKEN", token)));
        Ran::of(command)
    };
    let (plain, token) = serve("plain", &[]);
    list(network.head(), &plain, Some(&token)).ok();
    list(network.worker(), &plain, Some(&token)).refused(1, "without encryption");
    list(network.worker(), &plain, Some("scitq_wrong")).refused(1, "without encryption");
    let (insecure, token) = serve("insecure", &["--insecure"]);
    list(network.worker(), &insecure, Some(&token)).ok();
    let (trusting, _) = serve("trusting", &["--trust", netns::WORKER_IP]);
    list(network.worker(), &trusting, None).ok();
    // As do clients of the original, which know neither tokens nor TLS.
    let legacy = |namespace: &str| {
        let mut command = Network::command(&world, namespace, "curl");
        command.args(["-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]);
        command.arg(format!("{trusting}/tasks/"));
        Ran::of(command).ok().text().to_owned()
    };
    assert_eq!(
        (legacy(network.worker()).as_str(), legacy(network.head()).as_str()),
        ("200", "401")
    );
    let (encrypted, token) = serve("encrypted", &["--tls", "self"]);
    list(network.worker(), &encrypted, Some(&token)).ok();
    let bare = encrypted.trim_start_matches("https://");
    list(network.worker(), bare, Some(&token)).ok();
    let secret = token.split('.').next().unwrap();
    list(network.worker(), &format!("http://{bare}"), Some(secret)).refused(1, "https://");
}
