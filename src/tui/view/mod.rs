//! Draws the state and changes nothing: each function takes `&State` and a
//! piece of the screen.

pub mod batches;
mod canvas;
mod charts;
pub mod detail;
mod frame;
pub mod help;
pub mod jobs;
mod keybar;
mod lists;
mod log;
mod overview;
mod popup;
#[cfg(test)]
mod random;
pub mod recruit;
mod table;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod workers;

pub use frame::draw;
pub use lists::{column_at, most_shift, sort_column};
