//! The agent: takes executions from the server, runs their commands on this
//! machine, and tells what became of them.

pub mod cache;
pub mod config;
pub mod fsm;
pub mod journal;
pub mod link;
pub mod logs;
pub mod outbox;
pub mod runner;
pub mod stage;
pub mod supervisor;
pub mod telemetry;
pub mod token;
pub mod waits;
pub mod workdir;
