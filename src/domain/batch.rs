//! A batch: the name under which tasks and workers meet.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};
use thiserror::Error;
use utoipa::ToSchema;

use super::container::Pull;
use super::hire::Money;
use super::task::TaskSpec;

/// Longest batch name, in bytes.
pub const MAX_NAME_LENGTH: usize = 255;

/// A batch name: 1 to 255 bytes without `/` and control characters.
///
/// The original answers 500 for a `/`, since it puts names into URL paths;
/// its clients still do, so the rule stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(
    value_type = String,
    min_length = 1,
    max_length = 255,
    pattern = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$"
)]
pub struct BatchName(String);

/// Why a text is no batch name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchNameError {
    #[error("a batch name cannot be empty")]
    Empty,
    #[error("batch name of {length} bytes is longer than {MAX_NAME_LENGTH}")]
    TooLong { length: usize },
    #[error("batch name `{name}` has a `/`, which batch names cannot have")]
    Slash { name: String },
    #[error("batch name {name:?} has a control character")]
    Control { name: String },
}

/// How far a batch is paused. It is the batch that is paused, so this holds for
/// workers that join later as well.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
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
pub enum BatchPause {
    #[default]
    No,
    /// No command is started; downloads go on, and so does what runs.
    Start,
    /// No command is started, and those that run are suspended.
    Tasks,
}

/// What people set on a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchSettings {
    /// What a new task takes for all that it does not say itself.
    #[serde(default)]
    pub defaults: TaskDefaults,
    /// A worker of this batch that is silent for longer has lost its tasks.
    /// Seconds; absent: as the server has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_after: Option<LostAfter>,
    /// Bytes that are kept of each output stream of its tasks; absent: as the
    /// server has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub output_limit: Option<u64>,
    /// With so many workers its recruiters hire no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_workers: Option<u32>,
    /// What its hired machines may cost in an hour: its recruiters hire nothing
    /// beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_cost: Option<Money>,
}

/// When a silent worker has lost its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LostAfter {
    Never,
    /// 60 at least.
    Seconds(u32),
}

/// What a new task of a batch takes for all that it does not say itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDefaults {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Variables; those of a task win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Image of tasks that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Of tasks that have a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_options: Option<String>,
    /// Of tasks that have a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// Resources of tasks that name none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_timeout: Option<u32>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_timeout: Option<u32>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_timeout: Option<u32>,
}

impl TaskDefaults {
    /// Fills in what a task does not say itself.
    pub fn complete(&self, spec: &mut TaskSpec) {
        let Self { shell, env, resource, uid, gid, .. } = self;
        spec.shell = spec.shell.take().or_else(|| shell.clone());
        for (name, value) in env {
            spec.env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        if spec.resource.is_empty() {
            spec.resource.clone_from(resource);
        }
        spec.container = spec.container.take().or_else(|| self.container.clone());
        if spec.container.is_some() {
            let options = || self.container_options.clone();
            spec.container_options = spec.container_options.take().or_else(options);
            spec.pull = spec.pull.or(self.pull);
        }
        spec.uid = spec.uid.or(*uid);
        spec.gid = spec.gid.or(*gid);
        spec.retry = spec.retry.or(self.retry);
        spec.priority = spec.priority.or(self.priority);
        spec.cpu = spec.cpu.or(self.cpu);
        spec.memory = spec.memory.or(self.memory);
        spec.download_timeout = spec.download_timeout.or(self.download_timeout);
        spec.run_timeout = spec.run_timeout.or(self.run_timeout);
        spec.upload_timeout = spec.upload_timeout.or(self.upload_timeout);
    }
}

impl BatchName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BatchName {
    /// The batch of tasks and workers that name none, called as in the original.
    fn default() -> Self {
        Self("Default".to_owned())
    }
}

impl TryFrom<String> for BatchName {
    type Error = BatchNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name.is_empty() {
            return Err(BatchNameError::Empty);
        }
        if name.len() > MAX_NAME_LENGTH {
            return Err(BatchNameError::TooLong { length: name.len() });
        }
        if name.contains('/') {
            return Err(BatchNameError::Slash { name });
        }
        if name.chars().any(char::is_control) {
            return Err(BatchNameError::Control { name });
        }
        Ok(Self(name))
    }
}

impl FromStr for BatchName {
    type Err = BatchNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl From<BatchName> for String {
    fn from(name: BatchName) -> Self {
        name.0
    }
}

impl fmt::Display for BatchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_come_in() {
        assert!("run 12 é".parse::<BatchName>().is_ok());
        assert_eq!("".parse::<BatchName>(), Err(BatchNameError::Empty));
        assert!(matches!("a/b".parse::<BatchName>(), Err(BatchNameError::Slash { .. })));
        assert!(matches!("a\u{1b}b".parse::<BatchName>(), Err(BatchNameError::Control { .. })));
        assert!(serde_json::from_str::<BatchName>("\"a/b\"").is_err());
    }

    #[test]
    fn defaults_fill_in_what_a_task_does_not_say() {
        let defaults: TaskDefaults =
            serde_json::from_str(r#"{"retry": 3, "env": {"A": "1", "B": "1"}, "cpu": 2}"#).unwrap();
        let mut spec: TaskSpec =
            serde_json::from_str(r#"{"command": "true", "retry": 0, "env": {"A": "2"}}"#).unwrap();
        defaults.complete(&mut spec);
        assert_eq!((spec.retry, spec.cpu), (Some(0), Some(2)));
        assert_eq!((spec.env["A"].as_str(), spec.env["B"].as_str()), ("2", "1"));
    }
}
