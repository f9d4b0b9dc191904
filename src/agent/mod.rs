//! .

pub mod cache;
pub mod stage;
pub mod telemetry;
