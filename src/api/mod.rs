//! The wire contract of `/api/v2`: what requests and replies look like, how
//! errors are told, what travels on an agent's link, and the client that
//! agent, command line and terminal UI share.
//!
//! Within one version the contract only grows: fields are added, none are
//! taken away or change their meaning.

pub mod audit;
pub mod batch;
pub mod cache;
pub mod client;
pub mod error;
pub mod event;
pub mod execution;
pub mod fingerprint;
pub mod glance;
pub mod hiring;
pub mod import;
pub mod link;
pub mod output;
pub mod server;
pub mod ssh;
pub mod task;
pub mod tls;
pub mod token;
pub mod worker;

pub use client::{Client, ClientError};
pub use error::{ErrorBody, ErrorCode};

/// Header that makes a repeated change harmless: see
/// [`client::Client`]. At most 128 visible ASCII characters.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Most entries in one page of a list.
pub const MAX_PAGE: u32 = 10_000;

/// Entries in a page when the request names no limit.
pub const DEFAULT_PAGE: u32 = 100;

#[cfg(test)]
mod tests;
