//! From options to the specification of a task.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, absolute};

use super::args::LaunchArgs;
use crate::cli::error::CliError;
use crate::cli::parse;
use crate::domain::byte_string::ByteString;
use crate::domain::task::{Command, TaskSpec};
use crate::domain::uri::{Uri, UriError};

/// The task that these options describe.
///
/// # Errors
/// A URI that is none, a shell with more than one word, and whatever the
/// server would refuse by itself.
pub fn task_spec(args: &LaunchArgs) -> Result<TaskSpec, CliError> {
    let output = args.output.as_deref().map(|text| checked("--output", text)).transpose()?;
    let spec = TaskSpec {
        command: command(&args.command, args.shell.as_deref())?,
        name: args.name.clone(),
        batch: args.batch.clone().unwrap_or_default(),
        shell: args.shell.clone(),
        env: args.env.iter().cloned().collect::<BTreeMap<String, String>>(),
        input: uris("--input", &args.input)?,
        resource: uris("--resource", &args.resource)?,
        output,
        uid: args.uid,
        gid: args.gid,
        retry: args.retry,
        priority: None,
        cpu: None,
        memory: None,
        output_limit: None,
        stdin: None,
        tags: BTreeMap::new(),
        after_any: Vec::new(),
        after_batch: Vec::new(),
        download_timeout: args.download_timeout,
        run_timeout: args.run_timeout,
        after: parse::flatten(&args.after),
    };
    spec.check().map_err(|error| CliError::usage(error.to_string()))?;
    Ok(spec)
}

/// Several words travel as they are. One word with blanks in it is a command
/// line; so is the one word that a shell takes.
pub fn command(words: &[OsString], shell: Option<&str>) -> Result<Command, CliError> {
    if words.first().is_none_or(|word| word.is_empty()) {
        return Err(CliError::usage("the command is empty"));
    }
    let arguments = || words.iter().cloned().map(ByteString::from).collect();
    let line = match words {
        [word] => word.to_str(),
        _ => None,
    };
    match (line, shell) {
        (Some(line), Some(_)) => Ok(Command::Line(line.to_owned())),
        (Some(line), None) if line.contains(char::is_whitespace) => {
            Ok(Command::Line(line.to_owned()))
        }
        (None, Some(shell)) => Err(shell_wants_one_word(words, shell)),
        (_, None) => Ok(Command::Arguments(arguments())),
    }
}

fn shell_wants_one_word(words: &[OsString], shell: &str) -> CliError {
    if words.len() == 1 {
        return CliError::usage("a command for a shell must be UTF-8 text");
    }
    let joined: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let message =
        format!("--shell takes the command as one word, and this one has {}", words.len());
    let line = joined.join(" ");
    let quoted = ByteString::from(line);
    CliError::usage(message).hint(format!("quote it: scitq launch --shell={shell} {quoted}"))
}

/// The URIs of a repeatable option.
pub fn uris(option: &str, values: &[String]) -> Result<Vec<String>, CliError> {
    let mut all = Vec::new();
    for value in values {
        for text in split_uris(value) {
            all.push(checked(option, &text)?);
        }
    }
    Ok(all)
}

/// Splits a value into URIs. A blank separates two of them only where another
/// URI begins behind it, so that file names may have blanks.
fn split_uris(value: &str) -> Vec<String> {
    let mut uris: Vec<String> = Vec::new();
    for piece in value.trim().split_inclusive(char::is_whitespace) {
        let begins_uri = piece.split_once("://").is_some_and(|(head, _)| !head.contains('/'));
        match uris.last_mut() {
            Some(last) if !begins_uri => last.push_str(piece),
            _ => uris.push(piece.to_owned()),
        }
    }
    uris.into_iter().map(|uri| uri.trim_end().to_owned()).collect()
}

/// A URI that makes sense on the workers.
pub fn checked(option: &str, text: &str) -> Result<String, CliError> {
    let error = |message: String| CliError::usage(format!("{option}: {message}"));
    let uri: Uri = match text.parse() {
        Ok(uri) => uri,
        Err(UriError::NoProtocol { .. }) => {
            let hint = format!("a file on this machine is `{}`", local_uri(text));
            return Err(error(format!("`{text}` is no URI, it has no `://`")).hint(hint));
        }
        Err(other) => return Err(error(other.to_string())),
    };
    if uri.protocol == "file" && !uri.path.starts_with('/') {
        let hint = format!("write `{}`", local_uri(&uri.path));
        return Err(error(format!("`{text}` is not absolute")).hint(hint));
    }
    Ok(text.to_owned())
}

/// The URI of a path on this machine.
fn local_uri(text: &str) -> String {
    let path = absolute(Path::new(text)).unwrap_or_else(|_| Path::new("/").join(text));
    let is_folder = path.is_dir() && !text.ends_with('/');
    format!("file://{}{}", path.display(), if is_folder { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Launch {
        #[command(flatten)]
        args: LaunchArgs,
    }

    fn args(words: &[&str]) -> LaunchArgs {
        Launch::try_parse_from(["launch"].iter().chain(words)).unwrap().args
    }

    fn sent(words: &[&str]) -> String {
        match task_spec(&args(words)) {
            Ok(spec) => serde_json::to_string(&spec).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn words_travel_as_they_are() {
        assert_eq!(
            sent(&["grep", "-i", "a b", "--", "$HOME", ""]),
            r#"{"command":["grep","-i","a b","--","$HOME",""],"batch":"Default"}"#
        );
        assert_eq!(sent(&["--", "-x", "-n"]), r#"{"command":["-x","-n"],"batch":"Default"}"#);
        let bytes = command(&[OsString::from_vec(vec![b'a', 0xff])], None).unwrap();
        assert_eq!(bytes, Command::Arguments(vec![OsString::from_vec(vec![b'a', 0xff]).into()]));
    }

    #[test]
    fn one_word_with_blanks_is_a_command_line() {
        assert_eq!(sent(&["echo 'a b'"]), r#"{"command":"echo 'a b'","batch":"Default"}"#);
        assert_eq!(sent(&["true"]), r#"{"command":["true"],"batch":"Default"}"#);
        assert_eq!(
            sent(&["--shell", "true"]),
            r#"{"command":"true","batch":"Default","shell":"sh"}"#
        );
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
        let spec = task_spec(&args(&[
            "-n",
            "n",
            "-b",
            "b",
            "-R",
            "1,2 3",
            "--after",
            "4",
            "--retry",
            "2",
            "--run-timeout",
            "2m",
            "--download-timeout",
            "9",
            "-u",
            "7",
            "-g",
            "8",
            "--env",
            "A=1",
            "--env",
            "B=x=y",
            "true",
        ]));
        insta::assert_snapshot!(serde_json::to_string(&spec.unwrap()).unwrap(), @r#"{"command":["true"],"name":"n","batch":"b","env":{"A":"1","B":"x=y"},"uid":7,"gid":8,"retry":2,"download_timeout":9,"run_timeout":120,"after":[1,2,3,4]}"#);
    }

    #[test]
    fn a_blank_separates_uris_only_where_another_begins() {
        assert_eq!(
            split_uris(" file:///a b.fq  s3://x/y|untar\tfile:///c/ "),
            ["file:///a b.fq", "s3://x/y|untar", "file:///c/"]
        );
        assert_eq!(split_uris("a.fq b.fq"), ["a.fq b.fq"]);
    }

    #[test]
    fn a_path_is_no_uri_and_the_hint_says_what_is() {
        let error = task_spec(&args(&["-i", "/data/x.fq", "true"])).unwrap_err();
        assert_eq!(error.to_string(), "--input: `/data/x.fq` is no URI, it has no `://`");
        assert_eq!(error.hints(), ["a file on this machine is `file:///data/x.fq`"]);
        let error = task_spec(&args(&["-o", "file://tmp/out", "true"])).unwrap_err();
        assert_eq!(error.to_string(), "--output: `file://tmp/out` is not absolute");
    }
}
