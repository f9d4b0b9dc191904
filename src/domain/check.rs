//! Whether a task's spec makes sense, as far as one can tell without doing anything.

use thiserror::Error;

use super::task::{Command, TaskSpec};
use super::uri::{Uri, UriError};

/// Longest name of a task, bytes.
pub const MAX_NAME: usize = 1_024;
/// Longest command, bytes. Linux takes 128 KiB in one argument and 2 MiB in all.
pub const MAX_COMMAND: usize = 2 << 20;
/// Longest retry budget.
pub const MAX_RETRY: u32 = 10_000;

/// What is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    #[error("the command is empty")]
    NoCommand,
    #[error("the command is {length} bytes long, {MAX_COMMAND} is the most")]
    LongCommand { length: usize },
    #[error("{what} has a NUL byte, which no Unix program can be given")]
    Nul { what: &'static str },
    #[error("the command line has a quote that is not closed: {line}")]
    OpenQuote { line: String },
    #[error("the name is {length} bytes long, {MAX_NAME} is the most")]
    LongName { length: usize },
    #[error("`{name}` is no name of a variable")]
    VariableName { name: String },
    #[error("{0}")]
    Uri(#[from] UriError),
    #[error("`{limit}` is 0 seconds; leave it out for no limit")]
    ZeroLimit { limit: &'static str },
    #[error("retry is {retry}, {MAX_RETRY} is the most")]
    Retry { retry: u32 },
}

impl TaskSpec {
    /// Checks what can be checked without a worker.
    pub fn check(&self) -> Result<(), SpecError> {
        self.check_command()?;
        if let Some(name) = &self.name {
            if name.len() > MAX_NAME {
                return Err(SpecError::LongName { length: name.len() });
            }
            no_nul("the name", name)?;
        }
        for (name, value) in &self.env {
            let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !starts_well || !is_name {
                return Err(SpecError::VariableName { name: name.clone() });
            }
            no_nul("a variable", value)?;
        }
        for uri in self.input.iter().chain(&self.resource).chain(&self.output) {
            no_nul("a URI", uri)?;
            uri.parse::<Uri>()?;
        }
        for (limit, seconds) in
            [("download_timeout", self.download_timeout), ("run_timeout", self.run_timeout)]
        {
            if seconds == Some(0) {
                return Err(SpecError::ZeroLimit { limit });
            }
        }
        if self.retry > MAX_RETRY {
            return Err(SpecError::Retry { retry: self.retry });
        }
        Ok(())
    }

    fn check_command(&self) -> Result<(), SpecError> {
        let length = match &self.command {
            Command::Line(line) => {
                no_nul("the command", line)?;
                let words = shlex::split(line);
                if self.shell.is_none() && words.is_none() {
                    return Err(SpecError::OpenQuote { line: line.clone() });
                }
                if words.is_some_and(|words| words.is_empty()) {
                    return Err(SpecError::NoCommand);
                }
                line.len()
            }
            Command::Arguments(arguments) => {
                if arguments.first().is_none_or(|program| program.as_bytes().is_empty()) {
                    return Err(SpecError::NoCommand);
                }
                if arguments.iter().any(|argument| argument.as_bytes().contains(&0)) {
                    return Err(SpecError::Nul { what: "the command" });
                }
                arguments.iter().map(|argument| argument.as_bytes().len() + 1).sum()
            }
        };
        if length > MAX_COMMAND {
            return Err(SpecError::LongCommand { length });
        }
        if let Some(shell) = &self.shell {
            no_nul("the shell", shell)?;
            if shell.is_empty() {
                return Err(SpecError::NoCommand);
            }
        }
        Ok(())
    }
}

fn no_nul(what: &'static str, text: &str) -> Result<(), SpecError> {
    if text.contains('\0') { Err(SpecError::Nul { what }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(), SpecError> {
        serde_json::from_str::<TaskSpec>(json).unwrap().check()
    }

    #[test]
    fn good_specs_pass() {
        assert_eq!(check(r#"{"command": "echo 'a b'"}"#), Ok(()));
        assert_eq!(check(r#"{"command": "echo 'a", "shell": "sh"}"#), Ok(()));
        assert_eq!(
            check(
                r#"{"command": ["a", ""], "env": {"A_1": ""}, "input": ["file:///x"], "run_timeout": 1}"#
            ),
            Ok(())
        );
    }

    #[test]
    fn bad_specs_say_what_is_wrong() {
        assert_eq!(check(r#"{"command": ""}"#), Err(SpecError::NoCommand));
        assert_eq!(check(r#"{"command": []}"#), Err(SpecError::NoCommand));
        assert_eq!(check(r#"{"command": [""]}"#), Err(SpecError::NoCommand));
        assert_eq!(
            check(r#"{"command": ["a\u0000"]}"#),
            Err(SpecError::Nul { what: "the command" })
        );
        assert!(matches!(check(r#"{"command": "echo 'a"}"#), Err(SpecError::OpenQuote { .. })));
        assert!(matches!(
            check(r#"{"command": "a", "env": {"A B": ""}}"#),
            Err(SpecError::VariableName { .. })
        ));
        assert!(matches!(check(r#"{"command": "a", "input": ["/x"]}"#), Err(SpecError::Uri(_))));
        assert!(matches!(
            check(r#"{"command": "a", "run_timeout": 0}"#),
            Err(SpecError::ZeroLimit { .. })
        ));
    }
}
