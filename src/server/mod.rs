//! The head node: keeps the state, gives tasks to agents, answers people.

pub mod engine;
pub mod output;
pub mod store;
