//! The typed client of `/api/v2`: one method per route, for agent, command
//! line and terminal UI alike.
//!
//! A change that lost its connection is sent again under the same
//! idempotency key, so it happens once however often it travels; reads are
//! simply repeated. How long an unreachable server is waited for is the
//! caller's choice ([`Patience`]).

mod address;
mod backup;
mod error;
mod events;
mod hiring;
mod routes;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transport;

pub use address::{AddressError, DEFAULT_PORT, ServerAddress};
pub use backup::BackupStream;
pub use error::ClientError;
pub use events::EventStream;
pub use routes::{Client, OutputPiece};
pub use transport::{ClientConfig, Notice, Patience, identity, unreachable};
