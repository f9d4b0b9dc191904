//! .

pub mod auth;
pub mod config;
pub mod data_dir;
pub mod events;
pub mod output;
pub mod trust;

pub use config::{Ready, ServeConfig};
