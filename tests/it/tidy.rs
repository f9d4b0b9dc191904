//! Holds the source to the rules of `ARCHITECTURE.md`: which room may use
//! which, where a library may appear, how long a file may be, and which words
//! have no place in the project.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms that it may use beside itself. The longest path that
/// fits a file counts.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("clock", &["domain"]),
    ("runtime_dir", &[]),
    ("domain", &[]),
    ("api", &["domain", "runtime_dir"]),
    ("storage", &["domain", "api"]),
    ("server", &["domain", "api", "storage", "clock", "runtime_dir"]),
    ("server/engine", &["domain", "api", "server/store"]),
    ("server/store", &["domain", "api", "server/engine"]),
    ("server/output", &["domain", "api"]),
    ("server/hiring", &["domain", "api", "clock", "server/auth", "server/engine", "server/store"]),
    ("server/events", &["domain", "api"]),
    ("agent", &["domain", "api", "storage", "clock", "runtime_dir"]),
    ("agent/fsm", &["domain", "api"]),
    ("agent/supervisor", &["domain", "clock"]),
    ("tui", &["domain", "api", "clock", "storage"]),
    ("cli", &["domain", "api", "storage", "clock", "runtime_dir", "server", "agent", "tui"]),
];

/// A library, and the only rooms in which it may appear.
const HOMES: &[(&str, &[&str])] = &[
    ("rusqlite", &["server/store", "server/output"]),
    ("axum", &["server/http", "server/v1"]),
    ("utoipa_axum", &["server/http"]),
    ("hyper", &["server/http"]),
    ("hyper_util", &["server/http"]),
    ("reqwest", &["api/client", "storage/remote", "server/hiring/provider"]),
    ("rustls", &["api/tls", "server/tls"]),
    ("tokio_rustls", &["api/tls", "server/tls", "server/http/listener"]),
    ("rustls_platform_verifier", &["api/tls"]),
    ("rcgen", &["server/tls"]),
    ("tokio_tungstenite", &["agent"]),
    ("wait4", &["agent/supervisor"]),
    ("nix", &["agent/supervisor"]),
    ("bollard", &["agent/runner/docker"]),
    ("ratatui", &["tui"]),
    ("crossterm", &["tui"]),
    ("ratatui_textarea", &["tui"]),
    ("nucleo_matcher", &["tui"]),
    ("opendal", &["storage/remote"]),
    ("openssh_sftp_client", &["storage/remote"]),
    ("quick_xml", &["storage/remote"]),
    ("tar", &["storage/actions", "server/backup"]),
    ("openssh", &["server/hiring/provider", "storage/remote"]),
    ("clap", &["cli"]),
    ("dialoguer", &["cli"]),
    ("indicatif", &["cli"]),
    ("anyhow", &["cli"]),
];

/// What a room without I/O, threads and clocks cannot name.
const IMPURE: &[&str] = &["tokio", "rustix", "std::fs", "std::net", "std::process", "std::thread"];

/// The rooms for which that holds, and their files that lead into them from outside.
const PURE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("agent/fsm", &[]),
    ("tui/state", &[]),
    ("tui/update", &[]),
    ("tui/view", &[]),
    ("server/engine", &["server/engine/service", "server/engine/owner", "server/engine/waiting"]),
];

/// Dependencies that `deny.toml` bans.
const BANNED: &[&str] = &["openssl-sys", "aws-lc-sys", "native-tls", "chrono", "async-std"];

const MOST_LINES: usize = 500;

#[test]
fn rooms_use_only_the_rooms_that_they_may() {
    let mut breaches = Vec::new();
    for file in rust_files("src") {
        let module = module_of(&file);
        let Some((room, may_use)) = room_of(&module) else {
            continue;
        };
        if is_test(&module) {
            continue;
        }
        for used in paths_in_crate(&module, &code_of(&file)) {
            let path = used.join("/");
            let is_room = ROOMS.iter().any(|(other, _)| is_within(&path, other));
            // A room that this one is a part of is named in `pub(in …)`.
            let is_own = is_within(&path, room) || is_within(room, &path);
            if is_room && !is_own && !may_use.iter().any(|other| is_within(&path, other)) {
                breaches.push(format!("{} uses {path}", file.display()));
            }
        }
    }
    assert_none("a room uses another that it may not", &breaches);
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut breaches = Vec::new();
    for file in rust_files("src") {
        let module = module_of(&file).join("/");
        let names: BTreeSet<String> = words(&code_of(&file)).into_iter().collect();
        for (library, homes) in HOMES {
            let at_home = homes.iter().any(|home| is_within(&module, home));
            if names.contains(*library) && !at_home {
                breaches.push(format!("{} uses {library}", file.display()));
            }
        }
    }
    assert_none("a library is used outside its room", &breaches);
}

#[test]
fn pure_rooms_have_no_input_output_and_no_clock() {
    let mut breaches = Vec::new();
    for file in rust_files("src") {
        let module = module_of(&file).join("/");
        let is_pure = PURE
            .iter()
            .any(|(room, doors)| is_within(&module, room) && !doors.contains(&module.as_str()));
        if !is_pure || is_test(&module_of(&file)) {
            continue;
        }
        let code = code_of(&file);
        for name in IMPURE.iter().chain(&["Instant", "SystemTime"]) {
            let last = name.rsplit("::").next().unwrap();
            let named = words(&code).iter().any(|word| word == last);
            if named && (!name.contains("::") || code.contains(name)) {
                breaches.push(format!("{} uses {name}", file.display()));
            }
        }
    }
    assert_none("a room that decides and does nothing reaches out", &breaches);
}

#[test]
fn files_are_short_and_begin_with_their_purpose() {
    let mut breaches = Vec::new();
    for file in all_rust_files() {
        let text = read(&file);
        let lines = text.lines().count();
        if lines > MOST_LINES {
            breaches.push(format!("{} has {lines} lines", file.display()));
        }
        if !text.starts_with("//! ") {
            breaches.push(format!("{} does not begin with its purpose (//!)", file.display()));
        }
    }
    assert_none("a file is too long or does not say what it is for", &breaches);
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    // Put together here, so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!("], ["unimplemented", "!("]];
    let silenced = [["#[al", "low("], ["#![al", "low("], ["#[ig", "nore"]];
    let mut breaches = Vec::new();
    for file in all_rust_files() {
        let text = read(&file);
        for mark in marks.iter().chain(&silenced).map(|parts| parts.concat()) {
            if text.contains(&mark) {
                breaches.push(format!("{} has {mark}", file.display()));
            }
        }
    }
    assert_none("something is not done, or a lint is silenced without a reason", &breaches);
}

#[test]
fn no_machine_and_no_host_is_named() {
    let paths = [["/wo", "rk/"], ["/ro", "ot/"]];
    let hosts = [
        "127.0.0.1",
        "localhost",
        "github.com",
        "HOST",
        "HEAD",
        "head",
        "example.org",
        "www.apache.org",
        // The archive that `run+fastq://` reads.
        "www.ebi.ac.uk",
        "www.sqlite.org",
        "www.w3.org",
        "keepachangelog.com",
        "semver.org",
        "index.docker.io",
        // Azure is the same three everywhere, but for its national clouds.
        "management.azure.com",
        "login.microsoftonline.com",
        "prices.azure.com",
        "$",
        "{",
        "[",
        "…",
    ];
    let mut breaches = Vec::new();
    for file in text_files() {
        let text = read(&file);
        for path in paths.iter().map(|parts| parts.concat()) {
            if text.contains(&path) {
                breaches.push(format!("{} names {path}", file.display()));
            }
        }
        for scheme in ["http://", "https://"] {
            for rest in text.split(scheme).skip(1) {
                let is_known = hosts.iter().any(|host| rest.starts_with(host));
                if !is_known && rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                    let host: String = rest.chars().take(40).collect();
                    breaches.push(format!("{} names {scheme}{host}", file.display()));
                }
            }
        }
    }
    assert_none("a machine's path or an outside host is named", &breaches);
}

#[test]
fn dependencies_come_from_the_registry_and_none_is_banned() {
    let lock = read(&root().join("Cargo.lock"));
    let mut breaches = Vec::new();
    for line in lock.lines() {
        if line.starts_with("source = ") && !line.starts_with("source = \"registry+") {
            breaches.push(line.to_owned());
        }
        if BANNED.iter().any(|name| line == format!("name = \"{name}\"")) {
            breaches.push(line.to_owned());
        }
    }
    assert_none("a dependency is banned or comes from elsewhere (see deny.toml)", &breaches);
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let architecture = read(&root().join("ARCHITECTURE.md"));
    let mut breaches = Vec::new();
    for table in ["dependencies", "dev-dependencies"] {
        for name in manifest[table].as_table().unwrap().keys() {
            if !architecture.contains(&format!("`{name}`")) {
                breaches.push(format!("ARCHITECTURE.md has no line for `{name}`"));
            }
        }
    }
    assert_none("a dependency without a reason", &breaches);
}

fn assert_none(what: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{what}:\n{}", breaches.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files
}

fn all_rust_files() -> Vec<PathBuf> {
    ["src", "tests", "examples"].into_iter().flat_map(rust_files).collect()
}

/// All that people read and write in this project.
fn text_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "examples", "docs", "man", ".ci", "benches"] {
        collect(&root().join(folder), &mut files);
    }
    for entry in fs::read_dir(root()).unwrap().flatten() {
        let name = entry.file_name();
        if entry.path().is_file() && name != "Cargo.lock" && name != ".git" {
            files.push(entry.path());
        }
    }
    files.retain(|file| fs::read(file).is_ok_and(|bytes| std::str::from_utf8(&bytes).is_ok()));
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// `src/server/store/mod.rs` is the module `server`, `store`.
fn module_of(file: &Path) -> Vec<String> {
    let below = file.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut module: Vec<String> =
        below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

fn room_of(module: &[String]) -> Option<(&'static str, &'static [&'static str])> {
    let path = module.join("/");
    let fitting = ROOMS.iter().filter(|(room, _)| is_within(&path, room));
    fitting.max_by_key(|(room, _)| room.len()).copied()
}

fn is_test(module: &[String]) -> bool {
    module.iter().any(|part| part == "tests")
}

fn is_within(path: &str, room: &str) -> bool {
    path.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The file without its tests at the end, comments and text in quotes.
fn code_of(file: &Path) -> String {
    let text = read(file);
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut kept = String::with_capacity(code.len());
    let mut rest = code.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => {
                rest.by_ref().find(|c| *c == '\n');
                kept.push('\n');
            }
            '"' => {
                while let Some(c) = rest.next() {
                    match c {
                        '\\' => drop(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                kept.push_str("\"\"");
            }
            // A quoted quote; anything else after a `'` is harmless as code.
            '\'' if rest.peek() == Some(&'"') => drop(rest.next()),
            _ => kept.push(c),
        }
    }
    kept
}

fn words(code: &str) -> Vec<String> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// All paths in the code that lead to a place of this crate, from its root.
fn paths_in_crate(module: &[String], code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (position, token) in tokens.iter().enumerate() {
        let starts = position == 0 || tokens[position - 1] != "::";
        if !starts || !matches!(token.as_str(), "crate" | "super") {
            continue;
        }
        let mut base = if token == "crate" { Vec::new() } else { module.to_vec() };
        let mut next = position;
        while tokens.get(next).is_some_and(|token| token == "super") {
            base.pop();
            next += if tokens.get(next + 1).is_some_and(|token| token == "::") { 2 } else { 1 };
        }
        if token == "crate" {
            next += 2;
        }
        follow(&tokens, &mut next, &base, &mut found);
    }
    found
}

/// Reads a path or a group of paths from `next` on.
fn follow(tokens: &[String], next: &mut usize, base: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = base.to_vec();
    while let Some(token) = tokens.get(*next) {
        if token == "{" {
            *next += 1;
            while tokens.get(*next).is_some_and(|token| token != "}") {
                let before = *next;
                follow(tokens, next, &path, found);
                if tokens.get(*next).is_some_and(|token| token == ",") || *next == before {
                    *next += 1;
                }
            }
            *next += 1;
            return;
        }
        if !token.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            break;
        }
        path.push(token.clone());
        *next += 1;
        if tokens.get(*next).is_none_or(|token| token != "::") {
            break;
        }
        *next += 1;
    }
    found.push(path);
}

/// Names, `::` and single other characters.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut name = c.to_string();
            while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                name.push(c);
            }
            tokens.push(name);
        } else if c == ':' && rest.next_if_eq(&':').is_some() {
            tokens.push("::".to_owned());
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    tokens
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let module = ["server".to_owned(), "http".to_owned()];
    let code = "use crate::{api::{task, link::Up}, domain::TaskId}; super::store::open(crate::clock::X); pub(super) fn f() {}";
    let found: Vec<String> =
        paths_in_crate(&module, code).iter().map(|path| path.join("/")).collect();
    let expected =
        ["api/task", "api/link/Up", "domain/TaskId", "server/store/open", "clock/X", "server"];
    assert_eq!(found, expected);
}
