//! The command line: one file per subcommand, each with its arguments and a
//! `cmd_*` function that does what they say.
//!
//! Standard output carries data and nothing else ([`output`]); errors know
//! their exit code and how to go on ([`error`]).

mod agent;
mod app;
mod ask;
mod columns;
mod complete;
mod details;
mod editor;
mod enter_group;
mod error;
mod exit;
mod facts;
mod follow;
mod format;
mod launch;
mod listing;
mod logging;
mod man;
mod manage;
mod output;
mod parse;
mod progress;
mod serve;
mod session;
mod settings;
mod site;
mod supervise;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tui;
mod usage;
mod wait;
mod watch_container;

pub use app::{Cli, command, main};
