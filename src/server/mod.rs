//! .

pub mod events;
pub mod output;
