//! Replacing text in commands.

use regex::bytes::{NoExpand, Regex};

use crate::cli::error::CliError;
use crate::domain::byte_string::ByteString;
use crate::domain::task::Command;

/// What is replaced in commands, and by what.
#[derive(Debug, Clone)]
pub struct Replacement {
    pattern: Regex,
    new: String,
    form: Form,
}

/// How the new text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    /// `$1` and `${name}` stand for groups of the pattern.
    WithGroups,
}

impl Replacement {
    /// Every `old` becomes `new`, both taken as they are.
    ///
    /// # Errors
    /// `old` is empty.
    pub fn of_text(old: &str, new: &str) -> Result<Self, CliError> {
        if old.is_empty() {
            return Err(CliError::usage("--replace: the text to replace is empty"));
        }
        Self::new(&regex::escape(old), new, Form::Plain)
    }

    /// Every match of the regular expression becomes `new`, in which `$1` and
    /// `${name}` stand for groups.
    ///
    /// # Errors
    /// It is no regular expression.
    pub fn of_pattern(pattern: &str, new: &str) -> Result<Self, CliError> {
        Self::new(pattern, new, Form::WithGroups)
    }

    fn new(pattern: &str, new: &str, form: Form) -> Result<Self, CliError> {
        let pattern = Regex::new(pattern).map_err(|error| {
            let reason = error.to_string();
            let last = reason.lines().last().unwrap_or_default();
            let last = last.trim_start_matches("error: ");
            CliError::usage(format!("--regex: `{pattern}` is no regular expression: {last}"))
        })?;
        Ok(Self { pattern, new: new.to_owned(), form })
    }

    /// The new command; an argument vector is edited word by word, and stays one.
    ///
    /// # Errors
    /// The new command line is no text any more.
    pub fn apply(&self, command: &Command) -> Result<Command, CliError> {
        match command {
            Command::Line(line) => String::from_utf8(self.replaced(line.as_bytes()))
                .map(Command::Line)
                .map_err(|_| CliError::usage("a match begins or ends within a character")),
            Command::Arguments(words) => {
                let words = words.iter().map(|word| self.replaced(word.as_bytes()).into());
                Ok(Command::Arguments(words.collect::<Vec<ByteString>>()))
            }
        }
    }

    fn replaced(&self, text: &[u8]) -> Vec<u8> {
        let new = self.new.as_bytes();
        match self.form {
            Form::Plain => self.pattern.replace_all(text, NoExpand(new)),
            Form::WithGroups => self.pattern.replace_all(text, new),
        }
        .into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(words: &[&str]) -> Command {
        Command::Arguments(words.iter().map(|word| ByteString::from(*word)).collect())
    }

    #[test]
    fn a_command_line_is_edited_as_text() {
        let line = |text: &str| Command::Line(text.to_owned());
        let replacement = Replacement::of_text("a.b", "$1").unwrap();
        assert_eq!(replacement.apply(&line("x a.b aXb")).unwrap(), line("x $1 aXb"));
        let pattern = Replacement::of_pattern(r"sample_(\d+)", "s${1}_x").unwrap();
        assert_eq!(pattern.apply(&line("qc sample_12.fq")).unwrap(), line("qc s12_x.fq"));
    }

    #[test]
    fn an_argument_vector_is_edited_word_by_word_and_stays_one() {
        let replacement = Replacement::of_text("a b", "c d").unwrap();
        let edited = replacement.apply(&vector(&["x", "a b", "a", "b"])).unwrap();
        assert_eq!(edited, vector(&["x", "c d", "a", "b"]));
        let odd = Command::Arguments(vec![ByteString::from(vec![0xff, b'a', b'b'])]);
        let replacement = Replacement::of_text("ab", "é").unwrap();
        let bytes = [&[0xff], "é".as_bytes()].concat();
        assert_eq!(
            replacement.apply(&odd).unwrap(),
            Command::Arguments(vec![ByteString::from(bytes)])
        );
    }

    #[test]
    fn what_cannot_be_replaced_says_why() {
        assert!(Replacement::of_text("", "x").is_err());
        let error = Replacement::of_pattern("a(", "x").unwrap_err();
        assert_eq!(error.to_string(), "--regex: `a(` is no regular expression: unclosed group");
    }
}
