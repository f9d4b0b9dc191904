//! The vocabulary of scitq: what a task, an execution, a worker and a batch
//! are, and which states they pass through.
//!
//! Nothing in here does I/O, reads a clock or waits: every other room of the
//! house depends on this one, and this one on none.

pub mod batch;
pub mod byte_string;
pub mod check;
pub mod container;
pub mod demand;
pub mod execution;
pub mod filter;
pub mod flavor;
pub mod hire;
pub mod ids;
pub mod job;
pub mod nearest;
pub mod protofilter;
pub mod recruiter;
pub mod signal;
pub mod task;
pub mod time;
pub mod uri;
pub mod worker;

pub use batch::BatchName;
pub use flavor::{Flavor, FlavorName, ProviderName, RegionName};
pub use ids::{BatchId, Epoch, ExecutionId, JobId, StoreId, TaskId, TokenId, WorkerId};
pub use time::{Clock, Monotonic, Now, Timestamp};

#[cfg(test)]
mod tests;
