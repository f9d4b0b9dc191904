//! Completions, in the shells that people use.

use std::net::TcpListener;

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World};
use crate::terminal::{PROMPT, Typist, has_shell};

/// A server with a worker, a task of a name, and a batch whose name wants quotes.
fn server() -> Server {
    let mut server = Server::start();
    server.agent(AgentOptions { name: "workhorse".to_owned(), ..AgentOptions::default() });
    server.launch(&["--batch", "qc runs", "--name", "sample 1", "--", "true"]);
    server
}

/// Types lines of which every shell must complete the half, and runs them: what they print shows
/// whether they were completed to what was meant.
fn check(typist: &mut Typist) {
    typist.type_keys("scitq lau\t--tes\t--bat\tqc\t-- true\n", "\"batch\": \"qc runs\"");
    typist.type_keys("scitq manage task show --json \t\n", "\"id\": 1,");
    typist.type_keys("scitq manage task show --json --name sam\t\n", "\"id\": 1,");
    typist.type_keys("scitq manage worker show --json -n work\t\n", "\"name\": \"workhorse\"");
}

#[test]
fn bash_completes_what_the_server_knows() {
    if !has_shell("bash") {
        return;
    }
    let server = server();
    let mut typist = Typist::start(&server, "bash --norc --noprofile -i");
    typist.type_keys("source <(scitq completions bash)\n", PROMPT);
    check(&mut typist);
    typist.type_keys("scitq launch --test --batch=qc\t-- true\n", "\"batch\": \"qc runs\"");
}

#[test]
fn zsh_completes_what_the_server_knows() {
    if !has_shell("zsh") {
        return;
    }
    let server = server();
    let mut typist = Typist::start(&server, "zsh -f -i");
    typist.type_keys("autoload -U compinit; compinit -u -D\n", PROMPT);
    typist.type_keys("source <(scitq completions zsh)\n", PROMPT);
    check(&mut typist);
}

#[test]
fn fish_completes_what_the_server_knows() {
    if !has_shell("fish") {
        return;
    }
    let server = server();
    let shell = "fish --no-config --init-command 'function fish_prompt; echo -n \"READY> \"; end'";
    let mut typist = Typist::start(&server, shell);
    typist.type_keys("scitq completions fish | source\n", PROMPT);
    check(&mut typist);
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_and_not_complained_of() {
    let world = World::new();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap().to_string();
    for address in ["127.0.0.1:1", mute.as_str(), "not an address", ""] {
        let mut command = world.command(SCITQ);
        command.args(["complete", "bash", "4", "--", "scitq", "manage", "task", "show", ""]);
        let ran = Ran::of({
            command.env("SCITQ_SERVER", address);
            command
        });
        assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""), "{address}");
        assert!(ran.text().lines().all(|line| line.starts_with('-')), "{ran}");
    }
}
