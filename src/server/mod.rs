//! The head node: keeps the state, gives tasks to agents, answers people.

pub mod auth;
pub mod config;
pub mod data_dir;
pub mod engine;
pub mod events;
pub mod hiring;
pub mod http;
pub mod link;
mod local_agent;
pub mod output;
mod run;
pub mod store;
pub mod trust;
mod v1;

pub use config::{Ready, ServeConfig, V1Settings};
pub use engine::state::Policy;
pub use run::{ServeError, run};
