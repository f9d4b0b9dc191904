//! A task: what to run, and where it stands.
//!
//! [`TaskSpec`] is what people write; [`TaskLife`] is the state machine. Only
//! [`TaskLife::on`] moves a task from one state to another.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumIter, EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::batch::BatchName;
use super::byte_string::ByteString;
use super::container::Pull;
use super::ids::TaskId;

mod life;

pub use life::{ImpossibleTaskEvent, TaskEvent, TaskLife};

/// What a task is made of. Times are in whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    pub command: Command,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1_024)]
    pub name: Option<String>,
    #[serde(default)]
    pub batch: BatchName,
    /// Run the command line through this shell (`sh`, `bash` or a path) with `-c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Run the command in a container made from this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1_024)]
    pub container: Option<String>,
    /// Options of the container, those of `docker run`, on one line as in a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_options: Option<String>,
    /// When the image is fetched; `missing` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// Variables on top of those that every task has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// URIs of files and folders (with a final `/`) that are fetched into `$INPUT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<String>,
    /// URIs that are fetched once per worker and shown read-only in `$RESOURCE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    /// URI of the folder to which the contents of `$OUTPUT` are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Take over the outputs of an execution that was given the same and
    /// succeeded, if they are still what they were, and do not run the command.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_cache: bool,
    /// Run as this numeric user. The agent must be root for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Run as this numeric group. The agent must be root for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// How often a failure of the task's own making is tried again; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 10_000)]
    pub retry: Option<u32>,
    /// Tasks of a higher priority come first, older ones among equals; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1_000_000, maximum = 1_000_000)]
    pub priority: Option<i32>,
    /// Processor cores that it needs. See [`super::demand::Demand`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65_536)]
    pub cpu: Option<u32>,
    /// Main memory that it needs, bytes. See [`super::demand::Demand`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_125_899_906_842_624_u64)]
    pub memory: Option<u64>,
    /// Limit on fetching inputs and resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub download_timeout: Option<u32>,
    /// Limit on the run of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub run_timeout: Option<u32>,
    /// Limit on sending outputs, as far as the server lets the agent send them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub upload_timeout: Option<u32>,
    /// Bytes that are kept of each output stream; of a longer one the head and
    /// the tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub output_limit: Option<u64>,
    /// What the command reads on its standard input; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<ByteString>,
    /// Words of one's own, to find tasks by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Tasks that must all have succeeded before this one may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TaskId>,
    /// Tasks that must all have ended, well or not, before this one may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_any: Vec<TaskId>,
    /// Batches whose tasks, as they are when this one is queued or edited, must
    /// all have succeeded before this one may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_batch: Vec<BatchName>,
}

/// What a task asks of another one before it may run.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Until {
    /// It must have succeeded.
    Success,
    /// It must have ended, in whatever way.
    End,
}

/// Who holds a task back.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Hold {
    #[default]
    No,
    /// A person paused this task: only a person's word on it lets it go on.
    Person,
    /// Its batch was paused with its tasks, and goes on with them.
    Batch,
}

/// A command line that is split as a shell splits words, or an argument
/// vector that is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Command {
    Line(String),
    Arguments(Vec<ByteString>),
}

/// The states of a task, under the names that the original gave them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    EnumIter,
    EnumCount,
    IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum TaskState {
    /// Requirements are not met.
    Waiting,
    /// Ready, and no worker has it.
    Pending,
    /// An execution exists, its agent has not taken it yet.
    Assigned,
    /// The agent has it: it downloads, or is ready and waits for a slot.
    Accepted,
    /// The command runs, or its outputs are sent.
    Running,
    /// Suspended or held by a person.
    Paused,
    Succeeded,
    Failed,
}

impl TaskSpec {
    /// Nothing but a command.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            command,
            name: None,
            batch: BatchName::default(),
            shell: None,
            container: None,
            container_options: None,
            pull: None,
            env: BTreeMap::new(),
            input: Vec::new(),
            resource: Vec::new(),
            output: None,
            use_cache: false,
            uid: None,
            gid: None,
            retry: None,
            priority: None,
            cpu: None,
            memory: None,
            download_timeout: None,
            run_timeout: None,
            upload_timeout: None,
            output_limit: None,
            stdin: None,
            tags: BTreeMap::new(),
            after: Vec::new(),
            after_any: Vec::new(),
            after_batch: Vec::new(),
        }
    }
}

impl TaskState {
    /// Whether the task has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// Whether an execution of the task may be under way. A paused one has
    /// none if it was held before a worker had it.
    #[must_use]
    pub const fn may_be_active(self) -> bool {
        matches!(self, Self::Assigned | Self::Accepted | Self::Running | Self::Paused)
    }
}

impl fmt::Display for Command {
    /// The command as one would type it in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.write_str(line),
            Self::Arguments(arguments) => {
                for (position, argument) in arguments.iter().enumerate() {
                    if position > 0 {
                        f.write_str(" ")?;
                    }
                    argument.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_refuses_a_misspelled_field() {
        let error = serde_json::from_str::<TaskSpec>(r#"{"command":"true","retries":3}"#);
        assert!(error.unwrap_err().to_string().contains("unknown field `retries`"));
    }

    #[test]
    fn a_short_spec_is_short_on_the_wire() {
        let spec: TaskSpec = serde_json::from_str(r#"{"command":["echo","a b"]}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&spec).unwrap(),
            r#"{"command":["echo","a b"],"batch":"Default"}"#
        );
        assert_eq!(spec.command.to_string(), "echo 'a b'");
    }
}
