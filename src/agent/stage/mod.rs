//! Brings in what an execution needs ([`download`]), and takes out what it
//! made ([`upload`]).

mod error;
mod inputs;
mod movement;
mod retry;
#[cfg(test)]
mod tests;

pub use error::StageError;
pub use movement::{Staged, Uploaded, download, upload};
