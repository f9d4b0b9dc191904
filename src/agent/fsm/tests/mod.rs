//! Tests of the state machine: a bench on which an agent is led through its
//! life, the table of every stage and event, the rules, and random lives.

mod bench;
mod control;
mod edits;
mod orphans;
mod random;
mod restart;
mod reuse;
mod rules;
mod server;
mod table;
mod world;
mod world_server;
