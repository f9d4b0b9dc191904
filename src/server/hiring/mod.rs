//! Machines that the head hires: where they come from, and the jobs that fetch and
//! return them.
//!
//! What is to be hired and what goes is decided by the engine. This room carries it
//! out, and tells the engine by commands what came of it.

pub mod kinds;
pub mod provider;
pub mod settings;
