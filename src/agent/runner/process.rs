//! Commands that run as plain processes on the worker.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use thiserror::Error;

use super::{Job, environment};
use crate::agent::supervisor::SpawnRequest;
use crate::domain::byte_string::ByteString;
use crate::domain::task::{Command, TaskSpec};

/// Why a spec is no command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    #[error("the command is empty")]
    Empty,
    #[error("the command line {line:?} has a quote that does not end")]
    Quote { line: String },
    #[error("{what} has a NUL byte, which no command can have")]
    Nul { what: String },
    #[error("{what} is not UTF-8 text, which an engine of containers wants")]
    NoText { what: String },
    #[error("{name:?} is no name for a variable")]
    VariableName { name: String },
}

/// The order that starts the command of `job`.
///
/// # Errors
/// The spec is no command: it can run nowhere.
pub fn spawn_request(job: &Job<'_>) -> Result<SpawnRequest, CommandError> {
    let arguments = arguments(job.spec)?;
    if let Some(argument) = arguments.iter().find(|argument| has_nul(argument.as_bytes())) {
        return Err(CommandError::Nul { what: format!("argument {argument}") });
    }
    for (name, value) in &job.spec.env {
        check_variable(name, value)?;
    }
    Ok(SpawnRequest {
        execution: job.execution,
        arguments,
        environment: environment::on_worker(job),
        directory: job.dirs.root().to_owned(),
        stdout: job.dirs.stdout(),
        stderr: job.dirs.stderr(),
        stdin: job.spec.stdin.as_ref().map(|_| job.dirs.stdin()),
        uid: job.spec.uid,
        gid: job.spec.gid,
        group: None,
    })
}

/// The argument vector of a spec.
///
/// A line is split as a shell splits words, without expanding anything. With a
/// shell, the line goes to it as it is, and a vector is quoted so that the
/// shell makes the same vector out of it.
///
/// # Errors
/// There is no word in it, or a quote does not end.
pub fn arguments(spec: &TaskSpec) -> Result<Vec<ByteString>, CommandError> {
    match (&spec.shell, &spec.command) {
        (None, Command::Arguments(arguments)) if arguments.is_empty() => Err(CommandError::Empty),
        (None, Command::Arguments(arguments)) => Ok(arguments.clone()),
        (None, Command::Line(line)) => {
            let words =
                shlex::split(line).ok_or_else(|| CommandError::Quote { line: line.clone() })?;
            if words.is_empty() {
                return Err(CommandError::Empty);
            }
            Ok(words.into_iter().map(ByteString::from).collect())
        }
        (Some(shell), Command::Line(line)) => {
            Ok(vec![shell.as_str().into(), "-c".into(), line.as_str().into()])
        }
        (Some(shell), Command::Arguments(arguments)) => {
            Ok(vec![shell.as_str().into(), "-c".into(), quoted(arguments)?])
        }
    }
}

fn quoted(arguments: &[ByteString]) -> Result<ByteString, CommandError> {
    if arguments.is_empty() {
        return Err(CommandError::Empty);
    }
    shlex::bytes::try_join(arguments.iter().map(ByteString::as_bytes))
        .map(|line| ByteString::from(OsString::from_vec(line)))
        .map_err(|_| CommandError::Nul { what: "an argument".to_owned() })
}

fn check_variable(name: &str, value: &str) -> Result<(), CommandError> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(CommandError::VariableName { name: name.to_owned() });
    }
    if has_nul(value.as_bytes()) {
        return Err(CommandError::Nul { what: format!("variable `{name}`") });
    }
    Ok(())
}

fn has_nul(bytes: &[u8]) -> bool {
    bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::super::{UserEnvironment, WorkerFacts};
    use super::*;
    use crate::agent::workdir::TaskDirs;
    use crate::domain::{ExecutionId, TaskId};

    fn spec(json: &str) -> TaskSpec {
        serde_json::from_str(json).unwrap()
    }

    fn words(json: &str) -> Result<Vec<String>, CommandError> {
        let arguments = arguments(&spec(json))?;
        Ok(arguments
            .iter()
            .map(|argument| argument.as_os_str().to_str().unwrap().to_owned())
            .collect())
    }

    fn worker() -> WorkerFacts {
        WorkerFacts {
            name: "w".to_owned(),
            server: "http://head:1234".to_owned(),
            cores: 16,
            memory_bytes: 64 << 30,
            concurrency: 5,
            user: UserEnvironment {
                path: "/bin".into(),
                home: "/home/ada".into(),
                user: "ada".into(),
                lang: None,
            },
        }
    }

    fn request(spec: &TaskSpec) -> Result<SpawnRequest, CommandError> {
        let dirs = TaskDirs::new(Path::new("/w"), ExecutionId(12));
        let worker = worker();
        spawn_request(&Job {
            execution: ExecutionId(12),
            task: TaskId(3),
            attempt: 2,
            spec,
            dirs: &dirs,
            worker: &worker,
        })
    }

    #[test]
    fn lines_are_split_as_a_shell_does() {
        let split = words(r#"{"command":"echo 'a  b' \"c $X\" d\\ e # no"}"#).unwrap();
        assert_eq!(split, ["echo", "a  b", "c $X", "d e"]);
        let odd = words(r#"{"command":"echo 'a"}"#);
        assert_eq!(odd, Err(CommandError::Quote { line: "echo 'a".to_owned() }));
        assert_eq!(words(r#"{"command":"  "}"#), Err(CommandError::Empty));
    }

    #[test]
    fn vectors_are_taken_as_they_are() {
        let vector = words(r#"{"command":["a b","'","$X",""]}"#).unwrap();
        assert_eq!(vector, ["a b", "'", "$X", ""]);
        assert_eq!(words(r#"{"command":[]}"#), Err(CommandError::Empty));
    }

    #[test]
    fn a_shell_gets_the_line_or_makes_the_same_vector() {
        let line = words(r#"{"command":"a | b > $X","shell":"bash"}"#).unwrap();
        assert_eq!(line, ["bash", "-c", "a | b > $X"]);
        let vector = words(r#"{"command":["echo","a  b","$X"],"shell":"/bin/sh"}"#).unwrap();
        assert_eq!(vector, ["/bin/sh", "-c", "echo 'a  b' '$X'"]);
        assert_eq!(shlex::split(&vector[2]).unwrap(), ["echo", "a  b", "$X"]);
    }

    #[test]
    fn what_no_process_can_have_is_refused() {
        let nul = request(&spec(r#"{"command":["a","b\u0000"]}"#));
        assert!(matches!(nul, Err(CommandError::Nul { .. })), "{nul:?}");
        let mut named = spec(r#"{"command":"a"}"#);
        named.env = BTreeMap::from([("A=B".to_owned(), String::new())]);
        let error = CommandError::VariableName { name: "A=B".to_owned() };
        assert_eq!(request(&named).unwrap_err(), error);
    }

    #[test]
    fn a_task_finds_its_surroundings() {
        let spec = spec(r#"{"command":"true","batch":"b 1","env":{"CPU":"9"},"uid":7}"#);
        let request = request(&spec).unwrap();
        let variables: Vec<String> = request
            .environment
            .iter()
            .map(|(name, value)| {
                let text =
                    |argument: &ByteString| argument.as_os_str().to_str().unwrap().to_owned();
                format!("{}={}", text(name), text(value))
            })
            .collect();
        insta::assert_snapshot!(variables.join("\n"), @r"
        PATH=/bin
        HOME=/home/ada
        USER=ada
        INPUT=/w/tasks/12/input
        OUTPUT=/w/tasks/12/output
        RESOURCE=/w/tasks/12/resource
        TEMP=/w/tasks/12/tmp
        CPU=3
        THREADS=3
        MEM=13107
        SCITQ_TASK_ID=3
        SCITQ_TASK_NAME=
        SCITQ_EXECUTION_ID=12
        SCITQ_ATTEMPT=2
        SCITQ_BATCH=b 1
        SCITQ_WORKER=w
        SCITQ_SERVER=http://head:1234
        CPU=9
        ");
        assert_eq!(request.directory, Path::new("/w/tasks/12"));
        assert_eq!(request.stdout, Path::new("/w/tasks/12/log/stdout"));
        assert_eq!((request.uid, request.gid), (Some(7), None));
    }
}
