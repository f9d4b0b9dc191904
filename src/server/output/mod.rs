//! The output of executions: two byte streams each, kept in segment files.
//!
//! Bytes are appended to segment files and can be read at once. Which bytes of
//! a segment belong to which stream stands in an index, a database of its own.
//! The index learns of bytes only after they were synced to disk, many streams
//! at a time: it never promises what a power cut can take away, a commit of
//! tasks never waits for a chatty one, and what a killed server had not indexed
//! yet is sent again by the agent, which keeps its copy until the end is
//! acknowledged.
//!
//! One thread writes (`writer.rs`); everyone else talks to it through
//! [`OutputStore`] and reads beside it.

mod backup;
mod error;
mod index;
mod listing;
mod read;
mod segments;
mod settings;
mod shared;
mod store;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

pub use error::OutputError;
pub use index::IndexError;
pub use read::Read;
pub use settings::OutputSettings;
pub use store::OutputStore;
pub use stream::Hole;
