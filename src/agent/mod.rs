//! .

pub mod cache;
pub mod runner;
pub mod stage;
pub mod supervisor;
pub mod telemetry;
pub mod workdir;
