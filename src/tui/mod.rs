//! The terminal UI: what people look at all day.
//!
//! [`state`] is one value, [`update`] changes it by what happens and says what
//! is to be done, [`view`] draws it, [`effects`] talks to the server. Keys are
//! in one table ([`keymap`]). Around them, [`run()`] is the loop and
//! `terminal` the screen.

pub mod ansi;
pub mod config;
pub mod effect;
pub mod effects;
pub mod keymap;
mod outside;
pub mod query;
mod run;
pub mod state;
mod terminal;
#[cfg(test)]
mod testing;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;

pub use outside::Programs;
pub use run::{Ended, Options, TuiError, once, run};
