//! The head node: keeps the state, gives tasks to agents, answers people.

pub mod auth;
pub mod backup;
pub mod config;
pub mod data_dir;
mod disk;
pub mod engine;
pub mod events;
mod failures;
pub mod hiring;
pub mod http;
pub mod link;
mod local_agent;
pub mod output;
mod retention;
mod run;
mod signals;
mod start_hiring;
pub mod store;
pub mod tls;
pub mod trust;
mod v1;

pub use backup::BackupError;
pub use config::{PlainTokens, Ready, ServeConfig, V1Settings};
pub use disk::LeastFree;
pub use engine::state::Policy;
pub use retention::Retention;
pub use run::{ServeError, run};
pub use tls::{TlsError, TlsSettings};
