//! Brings in what an execution needs ([`download`]), and takes out what it
//! made ([`upload`]). What it was given has a key ([`content_key`]), under which
//! what it made ([`list_made`]) can be taken over ([`take_over`]).

mod error;
mod inputs;
mod key;
mod movement;
mod retry;
mod reuse;
mod sums;
#[cfg(test)]
mod tests;

pub use error::StageError;
pub use key::content_key;
pub use movement::{Staged, Uploaded, download, upload};
pub use reuse::{clear_outputs, list_made, take_over};
pub use sums::KnownSums;
