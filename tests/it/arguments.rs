//! What is given to `launch` arrives at the command byte for byte, whatever it is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::harness::{AgentOptions, Ran, Server};

/// Tells its arguments, each ended by a NUL. The second command keeps a shell from
/// becoming the first.
const TELL_ARGUMENTS: &str = "cat /proc/$$/cmdline; :";

/// Words that something on the way might take for something else.
const ODD: [&str; 32] = [
    "",
    " ",
    "  ",
    "a b",
    "'",
    "\"",
    "it's \"so\"",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    "$'\\n'",
    "\\",
    "\\n",
    "a\nb",
    "\n",
    "\t",
    "\r",
    "*",
    "?",
    "[a]",
    "{}",
    "{{}",
    "{#}",
    "~",
    "!!",
    "--",
    "--wait",
    "-t",
    "%s",
    "\u{1b}[2J",
    "é\u{202e}\u{10ffff}",
];

fn server() -> Server {
    let mut server = Server::start();
    server.agent(AgentOptions { concurrency: 8, ..AgentOptions::default() });
    server
}

/// So many values, the same in every run: a failure can be looked at again.
fn generated<S: Strategy>(count: usize, strategy: &S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Bytes without NUL, text or not, odd or not.
fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(&ODD[..]).prop_map(|word| word.as_bytes().to_vec()),
        text(20).prop_map(String::into_bytes),
        vec(1..=255_u8, 0..20),
    ]
}

fn text(longest: usize) -> impl Strategy<Value = String> {
    vec(any::<char>().prop_filter("NUL", |c| *c != '\0'), 0..longest)
        .prop_map(|characters| characters.into_iter().collect())
}

/// Runs a command of the CLI with these bytes as its standard input.
fn fed(server: &Server, mut command: Command, stdin: &[u8]) -> Ran {
    let path = server.path().join("stdin");
    fs::write(&path, stdin).unwrap();
    command.stdin(File::open(path).unwrap());
    Ran::of(command)
}

#[test]
fn every_argument_vector_arrives_unchanged() {
    let server = server();
    let vectors = generated(40, &vec(word(), 0..12));
    let all_odd = ODD.map(|word| word.as_bytes().to_vec()).to_vec();
    let long = vec![vec![b'x'; 100_000], vec![0xff; 20_000]];
    let vectors: Vec<_> = vectors.into_iter().chain([all_odd, long]).collect();
    let ids: Vec<String> = vectors
        .iter()
        .map(|vector| {
            let mut command = server.command(&["launch", "--", "sh", "-c", TELL_ARGUMENTS, "sh"]);
            command.args(vector.iter().cloned().map(OsString::from_vec));
            Ran::of(command).ok().text().to_owned()
        })
        .collect();
    for (id, vector) in ids.iter().zip(&vectors) {
        server.wait_for(id, &["succeeded"]);
        let mut expected = format!("sh\0-c\0{TELL_ARGUMENTS}\0sh\0").into_bytes();
        for word in vector {
            expected.extend_from_slice(word);
            expected.push(0);
        }
        let arrived = server.stdout(id);
        assert!(
            arrived == expected,
            "{vector:?} arrived as {:?}",
            arrived.escape_ascii().to_string()
        );
    }
}

#[test]
fn every_value_of_a_variable_arrives_unchanged() {
    let server = server();
    let odd = ODD.map(str::to_owned);
    let values: Vec<String> = odd.into_iter().chain(generated(60, &text(30))).collect();
    let mut command = server.command(&["launch", "--follow"]);
    for (position, value) in values.iter().enumerate() {
        command.arg("--env").arg(format!("V{position}={value}"));
    }
    command.args(["--", "cat", "/proc/self/environ"]);
    let ran = Ran::of(command).ok();
    let variables: BTreeMap<&[u8], &[u8]> = ran
        .stdout
        .split(|byte| *byte == 0)
        .filter_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((&pair[..equals], &pair[equals + 1..]))
        })
        .collect();
    for (position, value) in values.iter().enumerate() {
        let name = format!("V{position}");
        assert_eq!(variables.get(name.as_bytes()), Some(&value.as_bytes()), "{value:?}");
    }
}

#[test]
fn every_line_arrives_unchanged_and_in_order() {
    let server = server();
    let is_line = |line: &String| !line.trim().is_empty() && !line.contains('\n');
    let odd = ODD.map(str::to_owned);
    let lines: Vec<String> =
        odd.into_iter().chain(generated(40, &text(30))).filter(is_line).collect();
    let launch = ["launch", "--each", "--follow"];
    let print = ["--", "printf", "%s\\0", "{}", "<{}>", "{#}"];
    let told = |lines: &[String]| -> Vec<u8> {
        let line = |(line, number): (&String, usize)| format!("{line}\0<{line}>\0{number}\0");
        lines.iter().zip(1..).map(line).collect::<String>().into_bytes()
    };
    let command = server.command(&[&launch[..], &print].concat());
    let ran = fed(&server, command, lines.join("\n").as_bytes()).ok();
    assert!(ran.stdout == told(&lines), "{ran}");

    let records: Vec<String> = ["a\nb", "\n", " ", "\r\n"].map(str::to_owned).to_vec();
    let command = server.command(&[&launch[..], &["-0"], &print].concat());
    let ran = fed(&server, command, records.join("\0").as_bytes()).ok();
    assert!(ran.stdout == told(&records), "{ran}");

    // For a shell, a line is quoted.
    let launch = ["launch", "--each", "--follow", "--shell", "--", "printf '%s\\0' {q}"];
    let few: Vec<String> = lines.into_iter().take(25).collect();
    let ran = fed(&server, server.command(&launch), few.join("\n").as_bytes()).ok();
    assert!(ran.stdout == (few.join("\0") + "\0").as_bytes(), "{ran}");
}

#[test]
fn every_standard_input_arrives_unchanged() {
    let server = server();
    let mut inputs = generated(6, &vec(any::<u8>(), 0..300));
    inputs.extend([Vec::new(), b"a\0b\r\n\xff".to_vec(), vec![b'x'; 1 << 20]]);
    let file = server.path().join("input");
    for input in inputs {
        fs::write(&file, &input).unwrap();
        let launch = ["launch", "--follow", "--stdin", file.to_str().unwrap(), "--", "cat"];
        let ran = server.scitq(&launch).ok();
        assert!(ran.stdout == input, "{} bytes of {}", ran.stdout.len(), input.len());
    }
    let ours = server.command(&["launch", "--follow", "--stdin", "-", "--", "cat"]);
    assert_eq!(fed(&server, ours, b"ours\xfe").ok().stdout, b"ours\xfe");
}
