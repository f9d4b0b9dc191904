//! A terminal in which a test types as a person would.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::harness::{SCITQ, Server, until};

/// A shell on a terminal of its own, in which somebody types.
#[derive(Debug)]
pub struct Typist {
    process: Child,
    keyboard: ChildStdin,
    screen: std::path::PathBuf,
    seen: usize,
}

/// What shells of a test show when they are ready.
pub const PROMPT: &str = "READY> ";

/// Whether this shell can be tested here. Says what is missing; with `CI=true` that fails.
pub fn has_shell(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    if is_there(name) && is_there("script") {
        return true;
    }
    let said = format!("SKIPPED: a test in {name} needs the packages {name} and bsdutils");
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    false
}

impl Typist {
    pub fn start(server: &Server, shell: &str) -> Self {
        let folder = server.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("scitq");
        if !program.exists() {
            std::os::unix::fs::symlink(SCITQ, &program).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let screen = server.path().join(format!("screen-{}", shell.len()));
        let mut command: Command = server.program("script");
        let mut process = command
            .args(["--quiet", "--flush", "--command", shell])
            .arg(&screen)
            .env("PATH", format!("{}:{}", folder.display(), path.display()))
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
    pub fn type_keys(&mut self, keys: &str, end: &str) -> String {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
        self.wait_for(end)
    }

    pub fn wait_for(&mut self, end: &str) -> String {
        let (screen, seen) = (&self.screen, self.seen);
        let shown = until(&format!("{end:?} on the screen"), || {
            let text = String::from_utf8_lossy(&fs::read(screen).ok()?).into_owned();
            let new = text.get(seen..)?;
            let end = new.find(end)? + end.len();
            Some(new.get(..end)?.to_owned())
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
