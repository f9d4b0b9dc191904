//! Completions, in the shells that people use.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World, until};

/// A shell on a terminal of its own, in which somebody types.
struct Typist {
    process: Child,
    keyboard: ChildStdin,
    screen: std::path::PathBuf,
    seen: usize,
}

const PROMPT: &str = "READY> ";

/// Whether this shell can be tested here. Says what is missing; with `CI=true` that fails.
fn has_shell(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    if is_there(name) && is_there("script") {
        return true;
    }
    let said = format!("SKIPPED: completions of {name} need the packages {name} and bsdutils");
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    false
}

impl Typist {
    fn start(server: &Server, shell: &str) -> Self {
        let folder = server.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("scitq");
        if !program.exists() {
            std::os::unix::fs::symlink(SCITQ, &program).unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        let screen = server.path().join(format!("screen-{}", shell.len()));
        let mut command: Command = server.program("script");
        let mut process = command
            .args(["--quiet", "--flush", "--command", shell])
            .arg(&screen)
            .env("PATH", format!("{}:{path}", folder.display()))
            .env("PS1", PROMPT)
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let keyboard = process.stdin.take().unwrap();
        let mut typist = Self { process, keyboard, screen, seen: 0 };
        typist.wait_for(PROMPT);
        typist
    }

    /// Types keys, and returns what is on the screen from them on to `end`.
    fn type_keys(&mut self, keys: &str, end: &str) -> String {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
        self.wait_for(end)
    }

    fn wait_for(&mut self, end: &str) -> String {
        let (screen, seen) = (&self.screen, self.seen);
        let shown = until(&format!("{end:?} on the screen"), || {
            let text = String::from_utf8_lossy(&fs::read(screen).ok()?).into_owned();
            let new = text.get(seen..)?;
            let end = new.find(end)? + end.len();
            Some(new[..end].to_owned())
        });
        self.seen += shown.len();
        shown
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        // The test is over: whether it still runs does not matter.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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
