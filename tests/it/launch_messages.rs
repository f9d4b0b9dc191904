//! What `launch` says, word for word, about the mistakes that people make with it.

use std::fs::{self, File};

use insta::assert_snapshot;

use crate::harness::{Ran, SCITQ, World};

/// Runs a launch with this standard input, where no server is, and gives its
/// exit code and both streams.
fn said(stdin: &[u8], arguments: &[&str]) -> String {
    let world = World::new();
    let path = world.path().join("stdin");
    fs::write(&path, stdin).unwrap();
    let mut command = world.command(SCITQ);
    command.env("SCITQ_SERVER", "127.0.0.1:1").arg("launch").args(arguments);
    command.stdin(File::open(path).unwrap());
    let ran = Ran::of(command);
    let stdout = String::from_utf8_lossy(&ran.stdout);
    let parts = [format!("exit {}", ran.code()), stdout.into_owned(), ran.stderr.clone()];
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n--\n")
}

#[test]
fn lines_that_are_no_text_are_told_with_their_number() {
    assert_snapshot!(said(b"a\nb\0c\n", &["--each", "echo", "{}"]), @r#"
    exit 2
    --
    error: line 2 of standard input has a NUL byte
    hint: -0 splits at NUL bytes, as `find -print0` writes them
    "#);
    assert_snapshot!(said(b"a\n\n\xe9t\xe9.fq\n", &["--each", "echo", "{}"]), @r#"
    exit 2
    --
    error: line 3 of standard input is not UTF-8: "�t�.fq"
    hint: `iconv -t UTF-8` or `grep -axv '.*'` finds such lines
    "#);
    assert_snapshot!(said(b"a\0b\xff\0", &["--each", "-0", "echo", "{}"]), @r#"
    exit 2
    --
    error: record 2 of standard input is not UTF-8: "b�"
    hint: `iconv -t UTF-8` or `grep -axv '.*'` finds such lines
    "#);
}

#[test]
fn columns_that_do_not_fit_are_told() {
    let table = b"sample,file\ns1,x.fq\ns2\n";
    assert_snapshot!(said(table, &["--each", "--header", "echo", "{file}"]), @r#"
    exit 2
    --
    error: line 3 of standard input has 1 column, and the header has 2
    "#);
    let table = b"sample,file\ns1,x.fq\n";
    assert_snapshot!(said(table, &["--each", "--header", "echo", "{files}"]), @r#"
    exit 2
    --
    error: `{files}` is no placeholder: the header has no column of that name
    hint: the columns are sample, file; write `{{}files}` for the text itself
    "#);
    assert_snapshot!(said(b"a b\nc\n", &["--each", "--delimiter", " ", "echo", "{2}"]), @r#"
    exit 2
    --
    error: line 2: there is no column 2 in "c"
    "#);
    assert_snapshot!(said(b"", &["--each", "--header", "echo", "{file}"]), @r#"
    exit 2
    --
    error: --header: standard input has no line
    "#);
    assert_snapshot!(said(b"a,\"b\n", &["--each", "--delimiter", ",", "echo", "{1}"]), @r#"
    exit 2
    --
    error: line 1 of standard input has a quote that is not closed: "a,\"b"
    hint: a quote within a quoted field is written twice
    "#);
    assert_snapshot!(said(b"", &["--header", "echo"]), @r#"
    exit 2
    --
    error: --header needs --each
    hint: --each queues one task for each line of standard input
    "#);
}

#[test]
fn what_is_likely_to_be_a_mistake_is_warned_of() {
    let each = |words: &[&str]| said(b"a\nb\n", &[&["--each"], words].concat());
    assert_snapshot!(each(&["--shell", "wc -l < {}"]), @r#"
    exit 69
    --
    warning: the shell reads what stands for {} as a part of its script, so that a file name can become code; write {q}, or --env NAME={} and "$NAME"
    error: cannot reach scitq at http://127.0.0.1:1: connection refused
    hint: start a server with `scitq serve`, or name one with `--server HOST` or SCITQ_SERVER
    "#);
    assert_snapshot!(each(&["--", "echo", "{1}"]), @r#"
    exit 69
    --
    warning: `{1}` stands for itself: columns need --delimiter or --header
    warning: no placeholder such as {} is anywhere: all 2 tasks are the same
    error: cannot reach scitq at http://127.0.0.1:1: connection refused
    hint: start a server with `scitq serve`, or name one with `--server HOST` or SCITQ_SERVER
    "#);
}

#[test]
fn standard_input_has_one_reader() {
    assert_snapshot!(said(b"1\n", &["--each", "--after", "-", "echo", "{}"]), @r#"
    exit 2
    --
    error: --each and --after - both read standard input, and only one option can
    hint: give the ids as arguments, --after "$(cat FILE)"; give data as a file, --stdin FILE
    "#);
    assert_snapshot!(said(b"", &["--after", "-", "true"]), @r#"
    exit 2
    --
    error: --after -: standard input has no id
    hint: the command before it in the pipe queued nothing: see what it said
    "#);
    assert_snapshot!(said(b"queued 7\n", &["--after", "-", "true"]), @r#"
    exit 2
    --
    error: --after -: `queued` is no id
    hint: it reads ids as `scitq launch` prints them in a pipe
    "#);
}

#[test]
fn values_that_cannot_be_are_told_with_how_to_write_them() {
    assert_snapshot!(said(b"", &["--mem", "8", "true"]), @r#"
    exit 2
    --
    error: --mem cannot be `8`: it has no unit; write 8G or 8M
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["--cpu", "0", "true"]), @r#"
    exit 2
    --
    error: cpu is 0, and must be between 1 and 65536
    "#);
    assert_snapshot!(said(b"", &["--priority", "high", "true"]), @r#"
    exit 2
    --
    error: --priority cannot be `high`: write a whole number
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["--array", "1..10", "true"]), @r#"
    exit 2
    --
    error: --array cannot be `1..10`: write FIRST-LAST or FIRST-LAST:STEP, as in 1-1000 or 0-90:10
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["--array", "10-1", "true"]), @r#"
    exit 2
    --
    error: --array cannot be `10-1`: 10 is more than 1
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["--each", "--array", "1-2", "true"]), @r#"
    exit 2
    --
    error: --each cannot go with --array
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["--env", "PATH", "true"]), @r#"
    exit 2
    --
    error: --env cannot be `PATH`: it has no `=`; write NAME=VALUE
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["--env", "my name=x", "true"]), @r#"
    exit 2
    --
    error: `my name` is no name of a variable
    "#);
    assert_snapshot!(said(b"", &["--tag", "x", "true"]), @r#"
    exit 2
    --
    error: --tag cannot be `x`: it has no `=`; write NAME=VALUE
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["--stdin", "/nowhere/file", "true"]), @r#"
    exit 2
    --
    error: --stdin: cannot read `/nowhere/file`
    caused by: No such file or directory (os error 2)
    "#);
    assert_snapshot!(said(b"", &["--shell", "echo", "$HOME"]), @r#"
    exit 2
    --
    error: --shell takes the command as one word, and this one has 2
    hint: quote it: scitq launch --shell=sh 'echo $HOME'
    "#);
    assert_snapshot!(said(b"", &["--run-timeout", "5 min", "true"]), @r#"
    exit 2
    --
    error: --run-timeout cannot be `5 min`: units are s, m, h and d
    hint: `scitq launch --help` tells more
    "#);
    assert_snapshot!(said(b"", &["-b", "a/b", "true"]), @r#"
    exit 2
    --
    error: --batch cannot be `a/b`: batch name `a/b` has a `/`, which batch names cannot have
    hint: `scitq launch --help` tells more
    "#);
}

#[test]
fn a_cache_needs_an_output() {
    assert_snapshot!(said(b"", &["--use-cache", "true"]), @r#"
    exit 2
    --
    error: `use_cache` makes sense with an output only: there is nothing else to take over
    "#);
}
