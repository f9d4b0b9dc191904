//! Completing command lines: the scripts for shells, the hidden command that
//! they ask, and what a server knows that can be completed.

mod command;
mod names;
mod scripts;

pub use command::{CompleteArgs, cmd_complete};
pub use scripts::{CompletionsArgs, cmd_completions};
