//! `scitq complete`: what the scripts for shells ask while a person types.

use std::ffi::{OsStr, OsString};

use clap::Args;
use clap_complete::engine::{self, CompletionCandidate};

use super::names::{Source, with_names};
use super::scripts::Shell;
use crate::cli::app::{GlobalArgs, command};
use crate::cli::error::CliError;
use crate::cli::format;

/// Complete a command line
#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The shell that asks
    shell: Shell,
    /// Which word is completed, from 0
    index: usize,
    /// The words of the command line, from the program's name on
    #[arg(last = true)]
    words: Vec<OsString>,
}

/// Exit codes that tell a script to complete by its own means.
const FILES: u8 = 3;
const COMMAND_NAMES: u8 = 4;

/// What may stand at the place.
#[derive(Debug, PartialEq, Eq)]
enum Completion {
    Words(Vec<CompletionCandidate>),
    /// The first word of a task's command.
    CommandNames,
    /// Any other word of it.
    Files,
}

/// Prints one candidate a line. Nothing is an error here: who presses a key
/// wants no message.
pub fn cmd_complete(global: &GlobalArgs, args: CompleteArgs) -> Result<u8, CliError> {
    let CompleteArgs { shell, index, words } = args;
    let line = CommandLine::read(shell, index, words);
    let candidates = match line.complete() {
        Completion::CommandNames => return Ok(COMMAND_NAMES),
        Completion::Files => return Ok(FILES),
        Completion::Words(candidates) => candidates,
    };
    let output = global.output();
    for candidate in candidates {
        if let Some(text) = line.written(shell, &candidate) {
            output.line(text)?;
        }
    }
    output.flush()?;
    Ok(0)
}

/// The words before the cursor, as the program would get them.
#[derive(Debug, PartialEq, Eq)]
struct CommandLine {
    /// The last one is the one to be completed.
    words: Vec<OsString>,
    /// How much of the last word the shell believes to be words before it.
    hidden: String,
}

impl CommandLine {
    fn read(shell: Shell, index: usize, mut words: Vec<OsString>) -> Self {
        words.resize(index + 1, OsString::new());
        match shell {
            Shell::Bash => Self::read_as_bash_splits(words),
            Shell::Zsh | Shell::Fish => Self { words, hidden: String::new() },
        }
    }

    /// bash shows words as they were typed, and takes `=` for one of its own.
    fn read_as_bash_splits(typed: Vec<OsString>) -> Self {
        let mut words: Vec<OsString> = Vec::new();
        let mut hidden = String::new();
        let mut continues = false;
        for word in typed {
            let is_equals = word == "=";
            let begins_option = |last: &OsString| last.as_encoded_bytes().starts_with(b"--");
            match words.last_mut() {
                Some(last) if continues || (is_equals && begins_option(last)) => {
                    hidden = last.to_string_lossy().into_owned();
                    last.push(if is_equals { word } else { unquoted(word) });
                    continues = is_equals;
                    if is_equals {
                        hidden.push('=');
                    }
                }
                _ => {
                    hidden.clear();
                    continues = false;
                    words.push(unquoted(word));
                }
            }
        }
        Self { words, hidden }
    }

    fn complete(&self) -> Completion {
        if let Some(position) = self.position_in_command() {
            return if position == 0 { Completion::CommandNames } else { Completion::Files };
        }
        let mut grammar = with_names(command(), &Source::new(&self.words));
        let index = self.words.len().saturating_sub(1);
        let here = std::env::current_dir().ok();
        let found = engine::complete(&mut grammar, self.words.clone(), index, here.as_deref());
        let mut found = found.unwrap_or_default();
        // Options that nobody has begun would only hide what the place is for.
        let is_option =
            |one: &CompletionCandidate| one.get_value().as_encoded_bytes().starts_with(b"-");
        if self.words.last().is_some_and(|last| last.is_empty())
            && found.iter().any(|one| !is_option(one))
        {
            found.retain(|one| !is_option(one));
        }
        Completion::Words(found)
    }

    /// Which word of a task's command is completed, if one is.
    fn position_in_command(&self) -> Option<usize> {
        // Where this ends up is where the word would.
        const PROBE: &str = "\u{1}";
        let (last, before) = self.words.split_last()?;
        let begins_option = last.as_encoded_bytes().starts_with(b"-");
        let words = before.iter().map(OsString::as_os_str).chain([OsStr::new(PROBE)]);
        let matches = command().try_get_matches_from(words).ok()?;
        let launch = matches.subcommand_matches("launch")?;
        let position = launch.get_raw("command")?.position(|word| word == PROBE)?;
        let is_after_escape = before.iter().any(|word| word == "--");
        (position > 0 || is_after_escape || !begins_option).then_some(position)
    }

    /// A candidate as the shell's script takes it; none if no line can hold it.
    fn written(&self, shell: Shell, candidate: &CompletionCandidate) -> Option<String> {
        let value = candidate.get_value().to_str()?;
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = format::visible(help.lines().next().unwrap_or_default()).into_owned();
        let is_line = !value.contains(char::is_control);
        is_line.then(|| match shell {
            Shell::Bash => escaped(value.strip_prefix(&self.hidden).unwrap_or(value)),
            Shell::Zsh => format!("{}:{help}", value.replace('\\', "\\\\").replace(':', "\\:")),
            Shell::Fish => format!("{value}\t{help}"),
        })
    }
}

/// A word without the quotes with which it was typed.
fn unquoted(word: OsString) -> OsString {
    let text = word.to_str().and_then(shlex::split);
    match text.as_deref() {
        Some([one]) => one.into(),
        _ => word,
    }
}

/// A word with a backslash before each character that bash would not take as it is.
fn escaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for c in word.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_./=,:+@%^".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shell: Shell, words: &[&str]) -> CommandLine {
        CommandLine::read(shell, words.len() - 1, words.iter().map(OsString::from).collect())
    }

    fn candidates(words: &[&str]) -> Vec<String> {
        let completion = line(Shell::Zsh, words).complete();
        let Completion::Words(candidates) = completion else { panic!("{completion:?}") };
        candidates.iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn bash_shows_an_option_with_its_value_as_three_words() {
        let read = line(Shell::Bash, &["scitq", "launch", "--batch", "=", "q"]);
        assert_eq!(read.words, ["scitq", "launch", "--batch=q"]);
        assert_eq!(read.hidden, "--batch=");
        let read = line(Shell::Bash, &["scitq", "launch", "--batch", "="]);
        assert_eq!((read.words.len(), read.hidden.as_str()), (3, "--batch="));
        let read = line(Shell::Bash, &["scitq", "launch", "--batch", "=", "q", "x"]);
        assert_eq!((read.words.len(), read.hidden.as_str()), (4, ""));
        let read = line(Shell::Bash, &["scitq", "launch", "-b", "'my batch'", "my\\ n"]);
        assert_eq!(read.words, ["scitq", "launch", "-b", "my batch", "my n"]);
    }

    #[test]
    fn a_candidate_is_written_as_its_shell_takes_it() {
        let read = line(Shell::Bash, &["scitq", "launch", "--batch", "=", "q"]);
        let candidate = CompletionCandidate::new("--batch=q c$").help(Some("two\nlines".into()));
        assert_eq!(read.written(Shell::Bash, &candidate).as_deref(), Some("q\\ c\\$"));
        let candidate = CompletionCandidate::new("a:b").help(Some("two\nlines".into()));
        assert_eq!(read.written(Shell::Zsh, &candidate).as_deref(), Some("a\\:b:two"));
        assert_eq!(read.written(Shell::Fish, &candidate).as_deref(), Some("a:b\ttwo"));
        assert_eq!(read.written(Shell::Fish, &CompletionCandidate::new("a\nb")), None);
    }

    #[test]
    fn commands_and_options_are_completed() {
        assert_eq!(candidates(&["scitq", "la"]), ["launch"]);
        assert_eq!(candidates(&["scitq", "launch", "--run-t"]), ["--run-timeout"]);
        assert_eq!(candidates(&["scitq", "manage", "task", "rel"]), ["relaunch"]);
    }

    #[test]
    fn the_words_of_a_task_s_command_are_not_ours() {
        let complete = |words: &[&str]| line(Shell::Fish, words).complete();
        assert_eq!(complete(&["scitq", "launch", "fas"]), Completion::CommandNames);
        assert_eq!(complete(&["scitq", "launch", "--each", "--", ""]), Completion::CommandNames);
        assert_eq!(complete(&["scitq", "launch", "fastp", "-"]), Completion::Files);
        assert_eq!(complete(&["scitq", "launch", "-n", "x", "fastp", "re"]), Completion::Files);
        assert!(matches!(complete(&["scitq", "launch", "--retry", ""]), Completion::Words(_)));
    }
}
