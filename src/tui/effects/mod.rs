//! The only part that does something: it talks to the server, and tells what
//! came back as actions.

mod change;
mod fetch;
mod follow;
mod hands;
mod output;

pub use follow::follow_events;
pub use hands::Hands;
pub(super) use output::save as save_stream;
