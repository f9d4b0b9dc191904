//! Requests that are drawn from the OpenAPI document, by a program that other
//! projects use for theirs.

use std::path::PathBuf;

use crate::harness::{AgentOptions, Ran, Server};

/// How long it may look for faults, seconds.
const BUDGET: &str = "60";

/// Where `tests/run` installs it.
fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis/bin/schemathesis")
}

/// Whether it is there. Says so if not; with `CI=true` that fails.
fn can_run() -> bool {
    if program().exists() {
        return true;
    }
    let said = "SKIPPED: schemathesis is not installed (tests/run does it)";
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    false
}

#[test]
fn schemathesis_finds_no_fault_of_the_server_or_of_the_document() {
    if !can_run() {
        return;
    }
    // It tries wrong tokens too.
    let mut server = Server::start_with(&["--wrong-tokens", "100000"]);
    server.agent(AgentOptions::default());
    let id = server.launch(&["--", "echo", "done"]);
    server.wait_for(&id, &["succeeded"]);
    let mut command = server.program(program());
    command
        .args(["run", &format!("{}/api/v2/openapi.json", server.url())])
        .args(["--header", &format!("Authorization: Bearer {}", server.admin_token())])
        // Replies without an end, those that are waited for, and the token with
        // which all is asked.
        .args(["--exclude-path-regex", "/(events|agent/link)$"])
        .args(["--exclude-operation-id", "tasks.wait"])
        .args(["--exclude-operation-id", "tokens.revoke"])
        // What has ended elsewhere is taken in, whatever it was.
        .args(["--exclude-operation-id", "import.tasks"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", BUDGET])
        // What the document allows may still be refused: names are limited in
        // bytes, quotes in commands must be closed, cursors come from replies.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--continue-on-failure", "--no-shrink", "--no-color", "--warnings", "off"])
        .args(["--request-timeout", "70", "--seed", "1"]);
    let ran = Ran::of(command);
    assert!(ran.status.success(), "{ran}");
    let log = std::fs::read_to_string(server.path().join("logs/server")).unwrap();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "the server's log has an error");
}
