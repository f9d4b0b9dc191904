//! Storage, against real servers on this machine.

mod commands;
mod faults;
mod limits;
mod matrix;
pub mod peers;
mod resources;
mod runs;
mod secrets;
pub mod tree;
mod web;
