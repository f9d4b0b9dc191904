//! A batch: the name under which tasks and workers meet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// Longest batch name, in bytes.
pub const MAX_NAME_LENGTH: usize = 255;

/// A batch name: 1 to 255 bytes without `/` and control characters.
///
/// The original answers 500 for a `/`, since it puts names into URL paths;
/// its clients still do, so the rule stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 255)]
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
}
