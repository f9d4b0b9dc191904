//! What `docs/guarantees.md` promises is shown by tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_test_that_the_page_of_guarantees_names_is_there() {
    let page = read(&root().join("docs/guarantees.md"));
    let known = tests();
    let named: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|name| is_test(name)).collect();
    assert!(named.len() > 40, "the page names too few tests: {}", named.len());
    let missing: Vec<&&str> = named.iter().filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/guarantees.md names tests that are not there: {missing:?}");
}

#[test]
fn every_promise_names_its_test() {
    let page = read(&root().join("docs/guarantees.md"));
    let mut headless = Vec::new();
    for table in page.split("\n\n").filter(|part| part.contains("| shown by |")) {
        for row in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
            let names = row.split('`').skip(1).step_by(2);
            if !names.into_iter().any(is_test) {
                headless.push(row);
            }
        }
    }
    assert!(headless.is_empty(), "promises that no test shows:\n{}", headless.join("\n"));
}

/// Tests are named in whole sentences.
fn is_test(word: &str) -> bool {
    let is_name = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_name && word.matches('_').count() >= 3
}

/// The names of all tests.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&root().join(folder), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let mut is_marked = false;
        for line in read(&file).lines().map(str::trim) {
            if line.starts_with("#[") {
                is_marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                continue;
            }
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some(name) = name.filter(|_| is_marked) {
                found.extend(name.split('(').next().map(str::to_owned));
            }
            is_marked &= line.starts_with("//");
        }
    }
    found
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
