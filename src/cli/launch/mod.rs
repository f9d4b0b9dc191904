//! `scitq launch`: queue one task, and wait for it if asked to.

mod args;
mod command;
mod spec;

pub use args::LaunchArgs;
pub use command::cmd_launch;
pub use spec::{checked as checked_uri, command as command_of_words, uris};
