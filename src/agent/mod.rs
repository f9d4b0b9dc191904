//! The agent: takes executions from the server, runs their commands on this
//! machine, and tells what became of them.
//!
//! [`fsm`] decides and does nothing; [`driver`] does and decides nothing. What
//! must outlive the agent is on disk ([`journal`]) or in another process
//! ([`supervisor`]): an agent can be killed at any time, and the next one on
//! the same workdir goes on where it was.

pub mod by_hand;
pub mod cache;
pub mod config;
pub mod driver;
pub mod error;
pub mod files;
pub mod fsm;
pub mod journal;
pub mod link;
pub mod logs;
pub mod notice;
pub mod outbox;
pub mod run;
pub mod runner;
pub mod stage;
pub mod supervisor;
pub mod telemetry;
pub mod token;
pub mod waits;
pub mod workdir;

pub use config::{AgentConfig, Departure, Stop};
pub use error::AgentError;
pub use fsm::Secret;
pub use notice::Notice;
pub use run::{HangUp, run, stops_from_signals};

#[cfg(test)]
mod tests;
