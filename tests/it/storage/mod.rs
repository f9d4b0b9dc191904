//! Storage, against real servers on this machine.

mod commands;
mod faults;
mod matrix;
pub mod peers;
mod resources;
mod tree;
mod web;
