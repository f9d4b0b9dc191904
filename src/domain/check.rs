//! Whether a task's spec makes sense, as far as one can tell without doing anything.

use thiserror::Error;

use super::container::{ContainerOptions, OptionError};
use super::task::{Command, TaskSpec};
use super::uri::{Uri, UriError};

/// Longest name of a task, bytes.
pub const MAX_NAME: usize = 1_024;
/// Longest command, bytes. Linux takes 128 KiB in one argument and 2 MiB in all.
pub const MAX_COMMAND: usize = 2 << 20;
/// Longest retry budget.
pub const MAX_RETRY: u32 = 10_000;
/// Largest distance of a priority from 0.
pub const MAX_PRIORITY: i32 = 1_000_000;
/// Most processor cores that a task can ask for.
pub const MAX_CPU: u32 = 1 << 16;
/// Most memory that a task can ask for, bytes.
pub const MAX_MEMORY: u64 = 1 << 50;
/// Longest standard input, bytes. More than this is data, and data are inputs.
pub const MAX_STDIN: usize = 1 << 20;
/// Longest specification as JSON, bytes: it travels to the agent in one frame.
pub const MAX_SPEC: usize = 12 << 20;
/// Longest name of an image, bytes.
pub const MAX_IMAGE: usize = 1_024;
/// Longest container options, bytes.
pub const MAX_CONTAINER_OPTIONS: usize = 64 << 10;
/// Most tags of a task.
pub const MAX_TAGS: usize = 64;
/// Longest name and longest value of a tag, bytes.
pub const MAX_TAG: usize = 255;

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
    #[error("priority {priority} is not between -{MAX_PRIORITY} and {MAX_PRIORITY}")]
    Priority { priority: i32 },
    #[error("cpu is {cpu}, and must be between 1 and {MAX_CPU}")]
    Cpu { cpu: u32 },
    #[error("memory is {memory} bytes, and must be between 1 and {MAX_MEMORY}")]
    Memory { memory: u64 },
    #[error("output_limit is 0 bytes; leave it out for the usual limit")]
    ZeroOutputLimit,
    #[error("standard input is {length} bytes long, {MAX_STDIN} is the most; give it as an input")]
    LongStdin { length: usize },
    #[error("`use_cache` makes sense with an output only: there is nothing else to take over")]
    NoOutputToReuse,
    #[error("the specification is {length} bytes of JSON, {MAX_SPEC} are the most")]
    LongSpec { length: usize },
    #[error("{name:?} is no name of an image")]
    Image { name: String },
    #[error("`{field}` makes sense with a container only, and the task has none")]
    NoContainer { field: &'static str },
    #[error("the container options are {length} bytes long, {MAX_CONTAINER_OPTIONS} is the most")]
    LongContainerOptions { length: usize },
    #[error("{0}")]
    ContainerOption(#[from] OptionError),
    #[error("a container needs `uid` where it has `gid`")]
    GroupWithoutUser,
    #[error("{count} tags, {MAX_TAGS} are the most")]
    ManyTags { count: usize },
    #[error("the tag {name:?} is empty, longer than {MAX_TAG} bytes, or has a control character")]
    Tag { name: String },
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
        for (limit, seconds) in [
            ("download_timeout", self.download_timeout),
            ("run_timeout", self.run_timeout),
            ("upload_timeout", self.upload_timeout),
        ] {
            if seconds == Some(0) {
                return Err(SpecError::ZeroLimit { limit });
            }
        }
        if let Some(retry) = self.retry.filter(|retry| *retry > MAX_RETRY) {
            return Err(SpecError::Retry { retry });
        }
        if self.use_cache && self.output.is_none() {
            return Err(SpecError::NoOutputToReuse);
        }
        self.check_container()?;
        self.check_demand()?;
        self.check_tags()
    }

    fn check_container(&self) -> Result<(), SpecError> {
        let Some(image) = &self.container else {
            return match (&self.container_options, self.pull) {
                (Some(_), _) => Err(SpecError::NoContainer { field: "container_options" }),
                (None, Some(_)) => Err(SpecError::NoContainer { field: "pull" }),
                (None, None) => Ok(()),
            };
        };
        let is_odd = |c: char| c.is_whitespace() || c.is_control();
        let is_option = image.starts_with('-');
        if image.is_empty() || image.len() > MAX_IMAGE || is_option || image.contains(is_odd) {
            return Err(SpecError::Image { name: image.chars().take(80).collect() });
        }
        if self.gid.is_some() && self.uid.is_none() {
            return Err(SpecError::GroupWithoutUser);
        }
        if let Some(line) = &self.container_options {
            if line.len() > MAX_CONTAINER_OPTIONS {
                return Err(SpecError::LongContainerOptions { length: line.len() });
            }
            no_nul("a container option", line)?;
            ContainerOptions::parse(line)?;
        }
        Ok(())
    }

    fn check_demand(&self) -> Result<(), SpecError> {
        if let Some(priority) =
            self.priority.filter(|priority| priority.unsigned_abs() > MAX_PRIORITY.unsigned_abs())
        {
            return Err(SpecError::Priority { priority });
        }
        if let Some(cpu) = self.cpu.filter(|cpu| !(1..=MAX_CPU).contains(cpu)) {
            return Err(SpecError::Cpu { cpu });
        }
        if let Some(memory) = self.memory.filter(|memory| !(1..=MAX_MEMORY).contains(memory)) {
            return Err(SpecError::Memory { memory });
        }
        if self.output_limit == Some(0) {
            return Err(SpecError::ZeroOutputLimit);
        }
        match &self.stdin {
            Some(stdin) if stdin.as_bytes().len() > MAX_STDIN => {
                Err(SpecError::LongStdin { length: stdin.as_bytes().len() })
            }
            _ => Ok(()),
        }
    }

    fn check_tags(&self) -> Result<(), SpecError> {
        if self.tags.len() > MAX_TAGS {
            return Err(SpecError::ManyTags { count: self.tags.len() });
        }
        let fits = |text: &str| text.len() <= MAX_TAG && !text.chars().any(char::is_control);
        match self.tags.iter().find(|(name, value)| name.is_empty() || !fits(name) || !fits(value))
        {
            Some((name, _)) => Err(SpecError::Tag { name: name.clone() }),
            None => Ok(()),
        }
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
