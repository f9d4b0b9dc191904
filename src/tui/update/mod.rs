//! What happens changes the state, and says what is to be done: pure, so that
//! every key and every message can be tested without a terminal or a server.

mod available;
mod batches;
mod command_line;
mod commands;
mod completion;
mod editor;
mod events;
mod fetch;
mod jobs;
mod keys;
mod log;
mod mouse;
mod navigate;
mod popups;
mod prompt;
mod replies;
mod root;
mod tasks;
#[cfg(test)]
mod tests;
mod workers;

pub use available::is_available;

pub use fetch::wake;
pub use popups::recruit_candidates;
pub use prompt::candidates;
pub use root::update;
pub use tasks::{tab, tabs};
