//! What agent and supervisor say to each other: one JSON object a line, over a
//! Unix socket, in both directions.
//!
//! A supervisor lives as long as its commands do, which may be weeks: it meets
//! agents that are newer than itself. So the rules of change are:
//!
//! - The agent speaks first, with [`ToSupervisor::Hello`], and names the oldest
//!   and the newest protocol it knows. The supervisor answers with the newest
//!   that both know ([`FromSupervisor::Welcome`]) or with
//!   [`FromSupervisor::Refused`]. These three frames never change, but for
//!   fields that are added.
//! - Within one protocol number fields may be added, with a default; a field
//!   that is not known is skipped. A new frame, a new variant of an enum or a
//!   new meaning needs a new number, and is used only once the welcome has it.
//! - An agent keeps the code for a protocol as long as a supervisor that
//!   speaks no newer one may still be alive.
//!
//! Requests carry a number that their reply repeats, so many can be under way
//! at once. Replies and events come in the order in which things happened:
//! [`FromSupervisor::Spawned`] always before the [`FromSupervisor::Ended`] of
//! the same execution.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::byte_string::ByteString;
use crate::domain::execution::ResourceUsage;
use crate::domain::{ExecutionId, Timestamp};

/// The newest version of this protocol.
///
/// | protocol | is the first with |
/// |---|---|
/// | 2 | [`SpawnRequest::stdin`] |
pub const PROTOCOL: u32 = 2;

/// The oldest protocol in which a command can have a standard input.
pub const WITH_STDIN: u32 = 2;

/// The oldest version of this protocol that this program still speaks.
pub const OLDEST_PROTOCOL: u32 = 1;

/// Longest line, in bytes. The kernel takes up to 6 MiB of arguments and
/// environment, and a byte that is no text takes four on the wire.
pub const MAX_LINE: usize = 32 << 20;

/// From the agent to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToSupervisor {
    Hello {
        /// Newest protocol that the agent speaks.
        protocol: u32,
        /// Oldest protocol that the agent speaks.
        oldest: u32,
        /// Version of the agent's program, for the log.
        version: String,
    },
    /// Answered by `Spawned` or `NotSpawned`.
    Spawn { number: u64, request: SpawnRequest },
    /// Sends a signal to the command's process group. Answered by `Signalled`.
    Signal { number: u64, execution: ExecutionId, signal: i32 },
    /// Answered by `Known`.
    List { number: u64 },
    /// The agent has their ends on its own disk. No answer.
    Forget { executions: Vec<ExecutionId> },
    /// The agent leaves of its own will: without commands the supervisor need
    /// not wait for the next one.
    Goodbye {},
}

/// From the supervisor to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromSupervisor {
    Welcome {
        /// The protocol that both speak from now on.
        protocol: u32,
        /// Version of the supervisor's program.
        version: String,
        /// Everything that runs, and every end that is not forgotten.
        known: Vec<KnownExecution>,
    },
    /// No protocol is common to both. The last frame.
    Refused {
        protocol: u32,
        oldest: u32,
    },
    Spawned {
        number: u64,
        pid: u32,
        started_at: Timestamp,
    },
    NotSpawned {
        number: u64,
        refusal: SpawnRefusal,
    },
    Signalled {
        number: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<SignalRefusal>,
    },
    Known {
        number: u64,
        known: Vec<KnownExecution>,
    },
    Ended(EndRecord),
    /// Another agent has taken over. The last frame.
    Replaced {},
}

/// A command, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnRequest {
    pub execution: ExecutionId,
    /// The program and its arguments. A program without `/` is looked for in
    /// the `PATH` of `environment`; a relative path starts at `directory`.
    pub arguments: Vec<ByteString>,
    /// The whole environment: nothing is inherited.
    pub environment: Vec<(ByteString, ByteString)>,
    /// Working directory.
    #[serde(with = "path_bytes")]
    pub directory: PathBuf,
    /// File to which standard output is appended; made when missing.
    #[serde(with = "path_bytes")]
    pub stdout: PathBuf,
    /// File to which standard error is appended; made when missing.
    #[serde(with = "path_bytes")]
    pub stderr: PathBuf,
    /// File that is its standard input; none: it is empty. Needs protocol 2.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_path_bytes")]
    pub stdin: Option<PathBuf>,
    /// Run as this user, without supplementary groups. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Run as this group. Needs root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Folder of the control group in which it runs. A supervisor that does not
    /// know of this leaves the group empty.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_path_bytes")]
    pub group: Option<PathBuf>,
}

/// An execution that a supervisor knows of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownExecution {
    Running { execution: ExecutionId, pid: u32, started_at: Timestamp },
    Ended(EndRecord),
}

/// How and when a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    pub execution: ExecutionId,
    pub exit: Exit,
    pub usage: ResourceUsage,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// Its supervisor died: nobody knows how it would have ended, and what was
    /// left of it was killed.
    Lost,
}

/// Why a command was not started. Nothing of it has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum SpawnRefusal {
    #[error("program `{program}` not found")]
    ProgramNotFound { program: String },
    #[error("cannot execute `{program}`: {message}")]
    NotExecutable { program: String, message: String },
    #[error("cannot use the working directory `{path}`: {message}")]
    Directory { path: String, message: String },
    #[error("cannot open the output file `{path}`: {message}")]
    Output { path: String, message: String },
    /// From protocol 2 on.
    #[error("cannot open the standard input `{path}`: {message}")]
    Input { path: String, message: String },
    #[error("cannot run as user {uid:?}, group {gid:?}: {message}")]
    Identity { uid: Option<u32>, gid: Option<u32>, message: String },
    #[error("the command and its environment are too long for the system")]
    TooLong {},
    #[error("execution {execution} was started before")]
    AlreadyKnown { execution: ExecutionId },
    #[error("cannot write the supervisor's journal: {message}")]
    Journal { message: String },
    #[error("cannot start a process: {message}")]
    System { message: String },
}

/// Why a signal was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum SignalRefusal {
    #[error("execution {execution} does not run")]
    NotRunning { execution: ExecutionId },
    #[error("{signal} is no signal")]
    NoSuchSignal { signal: i32 },
    #[error("the system refused the signal: {message}")]
    System { message: String },
}

impl SpawnRefusal {
    /// The exit code that a shell gives in this case: 127 where there is no
    /// such program, 126 where it cannot be executed, none where the fault is
    /// not the command's.
    #[must_use]
    pub const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::ProgramNotFound { .. } => Some(127),
            Self::NotExecutable { .. } | Self::TooLong {} => Some(126),
            _ => None,
        }
    }
}

impl KnownExecution {
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    #[must_use]
    pub const fn execution(&self) -> ExecutionId {
        match self {
            Self::Running { execution, .. } | Self::Ended(EndRecord { execution, .. }) => {
                *execution
            }
        }
    }
}

/// Appends `message` and the end of its line to `buffer`.
///
/// # Errors
/// The message cannot be written as JSON, which none of the types here can cause.
pub(super) fn push_line<M: Serialize>(
    buffer: &mut Vec<u8>,
    message: &M,
) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *buffer, message)?;
    buffer.push(b'\n');
    Ok(())
}

/// Paths may be any bytes, as arguments may.
mod path_bytes {
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::byte_string::ByteString;

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => ByteString::from(path.as_os_str().to_owned()).serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathBuf, D::Error> {
        let path = ByteString::deserialize(deserializer)?;
        Ok(PathBuf::from(path.as_os_str()))
    }
}

/// As [`path_bytes`], for a path that may be absent.
mod optional_path_bytes {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::byte_string::ByteString;

    #[expect(clippy::ref_option, reason = "the form that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = path.as_ref().map(|path| ByteString::from(path.as_os_str().to_owned()));
        bytes.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let path = Option::<ByteString>::deserialize(deserializer)?;
        Ok(path.map(|path| PathBuf::from(path.as_os_str())))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_request_of_any_bytes_comes_through_on_one_line() {
        let odd = OsString::from_vec(b"a\nb\xff".to_vec());
        let message = ToSupervisor::Spawn {
            number: 7,
            request: SpawnRequest {
                execution: ExecutionId(3),
                arguments: vec!["printf".into(), ByteString::from(odd.clone())],
                environment: vec![("A".into(), ByteString::from(odd.clone()))],
                directory: PathBuf::from(odd),
                stdout: "/tmp/out".into(),
                stderr: "/tmp/a\nb".into(),
                stdin: Some("/tmp/in".into()),
                uid: None,
                gid: Some(5),
                group: Some("/sys/fs/cgroup/a".into()),
            },
        };
        let mut line = Vec::new();
        push_line(&mut line, &message).unwrap();
        assert_eq!(String::from_utf8(line.clone()).unwrap().lines().count(), 1);
        assert_eq!(serde_json::from_slice::<ToSupervisor>(&line).unwrap(), message);
    }

    /// Supervisors of former versions are alive while their commands are: a
    /// change of these texts needs a new protocol number.
    #[test]
    fn the_first_protocol_stays_as_it_is() {
        let hello = r#"{"hello":{"protocol":9,"oldest":1,"version":"x","later":true}}"#;
        assert_eq!(
            serde_json::from_str::<ToSupervisor>(hello).unwrap(),
            ToSupervisor::Hello { protocol: 9, oldest: 1, version: "x".to_owned() }
        );
        let ended = FromSupervisor::Ended(EndRecord {
            execution: ExecutionId(1),
            exit: Exit::Code(2),
            usage: ResourceUsage::default(),
            started_at: Timestamp(0),
            ended_at: Timestamp(1),
        });
        assert_eq!(
            serde_json::to_string(&ended).unwrap(),
            r#"{"ended":{"execution":1,"exit":{"code":2},"usage":{"user_seconds":0.0,"system_seconds":0.0,"peak_memory_bytes":0},"started_at":"1970-01-01T00:00:00.000000Z","ended_at":"1970-01-01T00:00:00.000001Z"}}"#
        );
        let signalled = FromSupervisor::Signalled { number: 4, refusal: None };
        assert_eq!(serde_json::to_string(&signalled).unwrap(), r#"{"signalled":{"number":4}}"#);
        let goodbye = ToSupervisor::Goodbye {};
        assert_eq!(serde_json::to_string(&goodbye).unwrap(), r#"{"goodbye":{}}"#);
    }
}
