//! Commands that run in containers, by an engine that speaks Docker's API.
//!
//! A container is watched by a process of its own ([`watch`]), which the
//! supervisor starts as it starts any command: it makes the container, attaches
//! to it before it starts, writes its output byte for byte to the task's files,
//! passes signals on, and leaves with the container's exit code. So an agent
//! that is killed or replaced misses nothing, and all that holds for processes
//! holds for containers. What the exit code alone cannot say it leaves in a file
//! ([`order::Report`]).
//!
//! The agent itself fetches images ahead of the start ([`engine::Engine::fetch`]),
//! and removes what a watcher that was killed could not
//! ([`engine::Engine::sweep`]).

pub mod body;
pub mod engine;
pub mod facts;
mod give_back;
pub mod here;
pub mod login;
pub mod order;
pub mod pull;
mod sink;
mod usage;
pub mod watch;
mod words;

pub use engine::{Address, Engine, EngineError};
pub use order::{ContainerOrder, End, Report};

/// The hidden subcommand that watches a container.
pub const SUBCOMMAND: &str = "watch-container";

/// The signal that makes a watcher kill its container: one that can be caught
/// must stand for the one that cannot.
pub const KILL_SIGNAL: i32 = 30;
