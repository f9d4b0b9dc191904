//! .

pub mod output;
