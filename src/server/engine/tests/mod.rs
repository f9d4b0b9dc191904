//! Tests of the engine: behaviours by name, random lives against the
//! invariants and a model, and the loop with a real database.

pub(in crate::server) mod bench;
pub(in crate::server) mod random;

mod agents;
mod control;
mod copies;
mod deletion;
mod demands;
mod edits;
mod ends;
mod evictions;
mod hiring;
mod hiring_day;
mod holds;
mod leases;
mod requirements;
mod resend;
mod rest;
mod service;
mod stepped;
mod tasks;
