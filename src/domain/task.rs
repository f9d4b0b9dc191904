//! A task: what to run, and where it stands.
//!
//! [`TaskSpec`] is what people write; [`TaskLife`] is the state machine. Only
//! [`TaskLife::on`] moves a task from one state to another.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumIter, EnumString, IntoStaticStr};
use thiserror::Error;
use utoipa::ToSchema;

use super::batch::BatchName;
use super::byte_string::ByteString;
use super::ids::{ExecutionId, TaskId};

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

/// Where a task stands, with what belongs to that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskLife {
    /// This many required tasks are not done.
    Waiting {
        unmet: u32,
    },
    Pending,
    Assigned(ExecutionId),
    Accepted(ExecutionId),
    Running(ExecutionId),
    /// Held before a worker has it; this many required tasks are not done.
    Held {
        unmet: u32,
    },
    /// Held on its worker before its command was started.
    HeldAccepted(ExecutionId),
    /// Its command is suspended, and keeps its slot.
    Suspended(ExecutionId),
    Succeeded,
    Failed,
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskEvent {
    /// One required task is done.
    RequirementMet,
    /// One required task that was done is run anew.
    RequirementReopened,
    /// A worker was chosen.
    Assign(ExecutionId),
    /// The agent has the execution.
    Accept(ExecutionId),
    /// The command was started.
    Start(ExecutionId),
    Succeed(ExecutionId),
    /// The execution ended for good, and not well.
    Fail(ExecutionId),
    /// The execution ended and another one shall follow.
    Requeue(ExecutionId),
    /// A person ends a task that no worker has.
    Cancel,
    /// A person wants another run of an ended task; so many required tasks
    /// are not done.
    Relaunch {
        unmet: u32,
    },
    /// An agent has had an execution of it all the time: the database comes from
    /// before, or lost it.
    Adopt(ExecutionId),
    /// It shall not go on for now.
    Pause,
    /// It shall go on, from the state in which it was paused.
    Resume,
    /// It was edited before it had a worker: so many required tasks are not done.
    Require {
        unmet: u32,
    },
}

/// An event that the state does not allow. An event of an execution that is
/// not the active one lands here too: that is the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a task that is {state} cannot take the event {event:?}")]
pub struct ImpossibleTaskEvent {
    pub state: TaskState,
    pub event: TaskEvent,
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
            env: BTreeMap::new(),
            input: Vec::new(),
            resource: Vec::new(),
            output: None,
            uid: None,
            gid: None,
            retry: None,
            priority: None,
            cpu: None,
            memory: None,
            download_timeout: None,
            run_timeout: None,
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

impl TaskLife {
    #[must_use]
    pub const fn state(self) -> TaskState {
        match self {
            Self::Waiting { .. } => TaskState::Waiting,
            Self::Pending => TaskState::Pending,
            Self::Assigned(_) => TaskState::Assigned,
            Self::Accepted(_) => TaskState::Accepted,
            Self::Running(_) => TaskState::Running,
            Self::Held { .. } | Self::HeldAccepted(_) | Self::Suspended(_) => TaskState::Paused,
            Self::Succeeded => TaskState::Succeeded,
            Self::Failed => TaskState::Failed,
        }
    }

    /// The execution that may act for the task, if one may.
    #[must_use]
    pub const fn execution(self) -> Option<ExecutionId> {
        match self {
            Self::Assigned(id)
            | Self::Accepted(id)
            | Self::Running(id)
            | Self::HeldAccepted(id)
            | Self::Suspended(id) => Some(id),
            Self::Waiting { .. }
            | Self::Pending
            | Self::Held { .. }
            | Self::Succeeded
            | Self::Failed => None,
        }
    }

    /// Whether a person or its batch holds it back.
    #[must_use]
    pub const fn is_paused(self) -> bool {
        matches!(self, Self::Held { .. } | Self::HeldAccepted(_) | Self::Suspended(_))
    }

    /// The one way from state to state.
    ///
    /// # Errors
    /// The event is impossible in this state, or comes from an execution that
    /// is not the active one. Nothing changes then.
    pub fn on(self, event: TaskEvent) -> Result<Self, ImpossibleTaskEvent> {
        use TaskEvent as E;
        use TaskLife as L;
        let impossible = Err(ImpossibleTaskEvent { state: self.state(), event });
        match event {
            // The fence: only the active execution acts for its task.
            E::Accept(id) | E::Start(id) | E::Succeed(id) | E::Fail(id) | E::Requeue(id)
                if self.execution() != Some(id) =>
            {
                impossible
            }
            E::Succeed(_) => Ok(L::Succeeded),
            E::Fail(_) => Ok(L::Failed),
            E::Requeue(_) => Ok(L::Pending),
            _ => match (self, event) {
                (L::Waiting { unmet: 0 | 1 }, E::RequirementMet)
                | (L::Waiting { .. } | L::Pending, E::Require { unmet: 0 })
                | (L::Succeeded | L::Failed, E::Relaunch { unmet: 0 })
                | (L::Held { unmet: 0 }, E::Resume) => Ok(L::Pending),
                (L::Waiting { unmet }, E::RequirementMet) => Ok(L::Waiting { unmet: unmet - 1 }),
                (L::Waiting { unmet }, E::RequirementReopened) => {
                    Ok(L::Waiting { unmet: unmet + 1 })
                }
                (L::Waiting { .. } | L::Pending, E::Require { unmet })
                | (L::Succeeded | L::Failed, E::Relaunch { unmet })
                | (L::Held { unmet }, E::Resume) => Ok(L::Waiting { unmet }),
                (L::Held { unmet }, E::RequirementMet) => {
                    Ok(L::Held { unmet: unmet.saturating_sub(1) })
                }
                (L::Held { unmet }, E::RequirementReopened) => Ok(L::Held { unmet: unmet + 1 }),
                (L::Held { .. }, E::Require { unmet }) | (L::Waiting { unmet }, E::Pause) => {
                    Ok(L::Held { unmet })
                }
                (L::Pending, E::Pause) => Ok(L::Held { unmet: 0 }),
                (L::Accepted(id), E::Pause) => Ok(L::HeldAccepted(id)),
                (L::Pending, E::Assign(id)) => Ok(L::Assigned(id)),
                (L::Waiting { .. } | L::Pending | L::Held { .. } | L::Failed, E::Adopt(id)) => {
                    Ok(L::Accepted(id))
                }
                (L::Assigned(_), E::Accept(id)) | (L::HeldAccepted(id), E::Resume) => {
                    Ok(L::Accepted(id))
                }
                (L::Assigned(_) | L::Accepted(_), E::Start(id)) | (L::Suspended(id), E::Resume) => {
                    Ok(L::Running(id))
                }
                // A held one may be started before its agent hears of that.
                (L::Running(id), E::Pause) | (L::HeldAccepted(_), E::Start(id)) => {
                    Ok(L::Suspended(id))
                }
                (L::Waiting { .. } | L::Pending | L::Held { .. }, E::Cancel) => Ok(L::Failed),
                _ => impossible,
            },
        }
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
    use std::fmt::Write;

    use super::*;

    #[test]
    fn every_state_and_event() {
        let own = ExecutionId(7);
        let other = ExecutionId(8);
        let lives = [
            TaskLife::Waiting { unmet: 2 },
            TaskLife::Waiting { unmet: 1 },
            TaskLife::Pending,
            TaskLife::Assigned(own),
            TaskLife::Accepted(own),
            TaskLife::Running(own),
            TaskLife::Held { unmet: 2 },
            TaskLife::Held { unmet: 0 },
            TaskLife::HeldAccepted(own),
            TaskLife::Suspended(own),
            TaskLife::Succeeded,
            TaskLife::Failed,
        ];
        let events = [
            TaskEvent::RequirementMet,
            TaskEvent::RequirementReopened,
            TaskEvent::Assign(own),
            TaskEvent::Accept(own),
            TaskEvent::Accept(other),
            TaskEvent::Start(own),
            TaskEvent::Start(other),
            TaskEvent::Succeed(own),
            TaskEvent::Succeed(other),
            TaskEvent::Fail(own),
            TaskEvent::Fail(other),
            TaskEvent::Requeue(own),
            TaskEvent::Requeue(other),
            TaskEvent::Cancel,
            TaskEvent::Relaunch { unmet: 0 },
            TaskEvent::Relaunch { unmet: 2 },
            TaskEvent::Adopt(own),
            TaskEvent::Pause,
            TaskEvent::Resume,
            TaskEvent::Require { unmet: 0 },
            TaskEvent::Require { unmet: 2 },
        ];
        let mut table = String::new();
        for life in lives {
            for event in events {
                let outcome =
                    life.on(event).map_or_else(|_| "-".to_owned(), |next| format!("{next:?}"));
                writeln!(table, "{life:?} + {event:?} = {outcome}").unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

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
