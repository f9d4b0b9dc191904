//! .

pub mod auth;
pub mod data_dir;
pub mod events;
pub mod output;
pub mod trust;
