//! Identifiers as types of their own, so that a task id is never taken for an
//! execution id.
//!
//! Ids of rows count up from 1 and are never used twice, also not after a
//! deletion: a late report of a dead execution can therefore never be taken
//! for a report of a new one.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// A number that no id has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is no id: ids are 1 to {max}", max = i64::MAX)]
pub struct NoId(u64);

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
        )]
        #[serde(try_from = "u64")]
        #[schema(value_type = u64, minimum = 1)]
        pub struct $name(pub u64);

        impl TryFrom<u64> for $name {
            type Error = NoId;

            fn try_from(number: u64) -> Result<Self, Self::Error> {
                // What is larger could not be stored as what it is.
                if (1..=i64::MAX.unsigned_abs()).contains(&number) {
                    Ok(Self(number))
                } else {
                    Err(NoId(number))
                }
            }
        }

        impl $name {
            /// The id after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The form in which SQLite stores it. Ids stay far below 2^63:
            /// at a million new rows a second they last for 290,000 years.
            #[must_use]
            #[expect(clippy::cast_possible_wrap, reason = "ids stay below 2^63")]
            pub const fn to_sql(self) -> i64 {
                self.0 as i64
            }

            /// The inverse of [`Self::to_sql`].
            #[must_use]
            #[expect(clippy::cast_sign_loss, reason = "written by to_sql")]
            pub const fn from_sql(value: i64) -> Self {
                Self(value as u64)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

row_id!(
    /// A task: one command and its data.
    TaskId
);
row_id!(
    /// One attempt at a task on one worker. Within one store it is the
    /// fencing token of that attempt.
    ExecutionId
);
row_id!(
    /// A worker: one agent on one machine.
    WorkerId
);
row_id!(
    /// A batch: the name under which tasks and workers meet.
    BatchId
);
row_id!(
    /// An access token's public number (never its secret).
    TokenId
);
row_id!(
    /// Something that the head does at a provider of machines.
    JobId
);

/// Names one database for ever: drawn at random when the data directory is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct StoreId(pub String);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the restores of one store: an agent that holds work of a later epoch
/// than the server's knows that the server went back in time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = u64)]
pub struct Epoch(pub u64);
