//! A terminal of its own, in which somebody types.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};

use crate::harness::{SCITQ, Server, until};

/// A shell on a terminal, with `scitq` on its search path.
pub struct Typist {
    process: Child,
    keyboard: ChildStdin,
    screen: PathBuf,
    seen: usize,
}

pub const PROMPT: &str = "READY> ";

/// The program that makes terminals, and its package.
pub const SCRIPT: (&str, &str) = ("script", "bsdutils");

/// Whether these programs, each of a package, are on this machine. Says which packages are missing
/// for `what`; with `CI=true` that fails.
pub fn has_programs(what: &str, programs: &[(&str, &str)]) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    if programs.iter().all(|(program, _)| is_there(program)) {
        return true;
    }
    let packages: Vec<&str> = programs.iter().map(|(_, package)| *package).collect();
    let said = format!("SKIPPED: {what} need the packages {}", packages.join(" and "));
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    false
}

/// Whether this shell can be tested here.
pub fn has_shell(name: &str) -> bool {
    has_programs(&format!("tests in {name}"), &[(name, name), SCRIPT])
}

impl Typist {
    /// Starts this shell, and waits for its prompt.
    pub fn start(server: &Server, shell: &str) -> Self {
        let folder = server.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("scitq");
        if !program.exists() {
            symlink(SCITQ, &program).unwrap();
        }
        let mut path = OsString::from(folder);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let screen = server.path().join(format!("screen-{}", shell.len()));
        let mut process = server
            .program("script")
            .args(["--quiet", "--flush", "--command", shell])
            .arg(&screen)
            .env("PATH", path)
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
    #[track_caller]
    pub fn type_keys(&mut self, keys: &str, end: &str) -> String {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
        self.wait_for(end)
    }

    #[track_caller]
    pub fn wait_for(&mut self, end: &str) -> String {
        let (screen, seen) = (&self.screen, self.seen);
        let shown = until(&format!("{end:?} on the screen"), || {
            let text = String::from_utf8_lossy(&fs::read(screen).ok()?).into_owned();
            let (before, _) = text.get(seen..)?.split_once(end)?;
            Some(format!("{before}{end}"))
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
