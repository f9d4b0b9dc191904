//! What the options of a launch become.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::Parser;

use super::args::LaunchArgs;
use super::each::{Item, LineForm, Records, Separator, read_records};
use super::spec::{FromStdin, TaskTemplate};
use super::stdin::check_readers;
use crate::cli::error::CliError;
use crate::domain::TaskId;
use crate::domain::task::TaskSpec;

#[derive(Debug, Parser)]
struct Launch {
    #[command(flatten)]
    args: LaunchArgs,
}

fn args(words: &[&str]) -> LaunchArgs {
    Launch::try_parse_from(["launch"].iter().chain(words)).unwrap().args
}

fn spec(args: &LaunchArgs) -> Result<TaskSpec, CliError> {
    TaskTemplate::without_placeholders(args, FromStdin::default())?.spec(&Item::none())
}

fn sent(words: &[&str]) -> String {
    match spec(&args(words)) {
        Ok(spec) => serde_json::to_string(&spec).unwrap(),
        Err(error) => error.to_string(),
    }
}

fn lines(text: &str, form: LineForm) -> Records {
    read_records(text.as_bytes(), Separator::Newline, form).unwrap()
}

/// What each line becomes, and what is warned of.
fn each(words: &[&str], records: &Records) -> Result<(Vec<String>, Vec<String>), CliError> {
    let words = [&["--each"], words].concat();
    let columns = &records.columns;
    let template = TaskTemplate::for_lines(&args(&words), FromStdin::default(), columns)?;
    let specs =
        records.items.iter().map(|item| Ok(serde_json::to_string(&template.spec(item)?).unwrap()));
    Ok((specs.collect::<Result<Vec<_>, CliError>>()?, template.warnings()))
}

#[test]
fn words_travel_as_they_are() {
    assert_eq!(
        sent(&["grep", "-i", "a b", "--", "$HOME", "", "{}"]),
        r#"{"command":["grep","-i","a b","--","$HOME","","{}"],"batch":"Default"}"#
    );
    assert_eq!(sent(&["--", "-x", "-n"]), r#"{"command":["-x","-n"],"batch":"Default"}"#);
    let odd = vec![b'a', 0xff, b'{', b'}'];
    let mut args = args(&["true"]);
    args.command = vec![OsString::from_vec(odd.clone())];
    let words = serde_json::to_string(&spec(&args).unwrap().command).unwrap();
    assert_eq!(words, r#"[{"bytes":[97,255,123,125]}]"#);
}

#[test]
fn one_word_with_blanks_is_a_command_line() {
    assert_eq!(sent(&["echo 'a b' {}"]), r#"{"command":"echo 'a b' {}","batch":"Default"}"#);
    assert_eq!(sent(&["true"]), r#"{"command":["true"],"batch":"Default"}"#);
    assert_eq!(sent(&["--shell", "true"]), r#"{"command":"true","batch":"Default","shell":"sh"}"#);
    assert_eq!(
        sent(&["--shell=bash", "echo", "$HOME"]),
        "--shell takes the command as one word, and this one has 2"
    );
    assert_eq!(sent(&[""]), "the command is empty");
}

#[test]
fn an_unknown_option_is_never_the_command() {
    let error = Launch::try_parse_from(["launch", "-z", "foo"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn options_arrive_in_the_task() {
    let options = "-n n -b b -R 1,2 --after 4 --after-any 5 --after-batch c --retry 2 \
        --run-timeout 2m --download-timeout 9 -u 7 -g 8 --env A=1 --env B=x=y --tag run=7 \
        --priority -3 --cpu 4 --mem 1.5G --output-limit 100M -i file:///a -r file:///b \
        -o s3://c/d/ true";
    let options: Vec<&str> = options.split_whitespace().collect();
    insta::assert_snapshot!(sent(&options), @r#"{"command":["true"],"name":"n","batch":"b","env":{"A":"1","B":"x=y"},"input":["file:///a"],"resource":["file:///b"],"output":"s3://c/d/","uid":7,"gid":8,"retry":2,"priority":-3,"cpu":4,"memory":1610612736,"download_timeout":9,"run_timeout":120,"output_limit":104857600,"tags":{"run":"7"},"after":[1,2,4],"after_any":[5],"after_batch":["c"]}"#);
}

#[test]
fn ids_of_standard_input_stand_where_the_dash_was() {
    let args = args(&["-R", "9", "--after", "-", "--after", "7", "true"]);
    let stdin = FromStdin { after: vec![TaskId(1), TaskId(2)], data: None };
    let spec = TaskTemplate::without_placeholders(&args, stdin).unwrap().spec(&Item::none());
    assert_eq!(spec.unwrap().after, [9, 1, 2, 7].map(TaskId));
}

#[test]
fn standard_input_has_one_reader() {
    let error = check_readers(&args(&["--each", "--after", "-", "true"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--each and --after - both read standard input, and only one option can"
    );
    assert!(check_readers(&args(&["--after", "-", "--after-any", "-", "true"])).is_err());
    assert!(check_readers(&args(&["--stdin", "-", "--each", "true"])).is_err());
    assert!(check_readers(&args(&["--stdin", "-", "--after", "7", "true"])).is_ok());
}

#[test]
fn a_line_is_a_part_of_one_word_wherever_it_stands() {
    let options = ["-n", "{/.}", "-i", "file:///in/{} file:///all/", "-o", "file:///out/{#}/"];
    let more = ["--env", "F={}", "--tag", "sample={.}", "-r", "file:///r/{#}", "cp", "{}", "<{/}>"];
    let records = lines("a b.fq\n", LineForm::Whole);
    let (specs, warnings) = each(&[&options[..], &more].concat(), &records).unwrap();
    insta::assert_snapshot!(specs[0], @r#"{"command":["cp","a b.fq","<a b.fq>"],"name":"a b","batch":"Default","env":{"F":"a b.fq"},"input":["file:///in/a b.fq","file:///all/"],"resource":["file:///r/1"],"output":"file:///out/1/","tags":{"sample":"a b"}}"#);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_command_line_is_split_before_lines_come_into_it() {
    let records = lines("it's $(a)  b\n", LineForm::Whole);
    let (specs, _) = each(&["grep -e 'x y' {} \"{}\""], &records).unwrap();
    let line = "it's $(a)  b";
    assert_eq!(
        specs,
        [format!(r#"{{"command":["grep","-e","x y","{line}","{line}"],"batch":"Default"}}"#)]
    );
    let error = each(&["grep 'x {}"], &records).unwrap_err();
    assert_eq!(error.to_string(), "the command line has a quote that is not closed: grep 'x {}");
}

#[test]
fn columns_have_names() {
    let records = lines("sample,file\ns1,\"a,b\"\ns2,c\n", LineForm::Header(None));
    let (specs, _) = each(&["-n", "{sample}", "align", "{file}", "{2}"], &records).unwrap();
    assert_eq!(
        specs,
        [
            r#"{"command":["align","a,b","a,b"],"name":"s1","batch":"Default"}"#,
            r#"{"command":["align","c","c"],"name":"s2","batch":"Default"}"#
        ]
    );
}

#[test]
fn a_line_within_a_script_is_warned_of() {
    let records = lines("a\n", LineForm::Whole);
    let warnings = |words: &[&str]| each(words, &records).unwrap().1.len();
    assert_eq!(warnings(&["sh", "-c", "cat {}"]), 1);
    assert_eq!(warnings(&["nice", "/bin/bash", "-e", "-uc", "cat '{}'", "x"]), 1);
    assert_eq!(warnings(&["--shell", "cat {} | wc"]), 1);
    assert_eq!(warnings(&["--shell", "cat {q} | wc"]), 0);
    assert_eq!(warnings(&["sh", "-c", "cat \"$1\"", "sh", "{}"]), 0);
    assert_eq!(warnings(&["--shell", "{}"]), 0, "each line is a script");
    assert_eq!(warnings(&["bash", "{}", "-c", "x{}"]), 1);
    assert_eq!(warnings(&["cut", "{1}"]), 1, "columns were not asked for");
}
