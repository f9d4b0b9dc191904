//! `scitq launch`: queue tasks, and wait for them if asked to.
//!
//! [`plan`] makes the request out of the options and of standard input;
//! [`command`] sends it.

mod args;
mod array;
mod command;
mod each;
mod plan;
mod spec;
mod stdin;
#[cfg(test)]
mod tests;
mod uris;

pub use args::LaunchArgs;
pub use command::cmd_launch;
pub use uris::{checked_uri, split_uris};
