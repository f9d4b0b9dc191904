//! A whole agent with real commands, against a server that the test plays.

mod bench;
mod control;
mod links;
mod lives;
mod rescue;
