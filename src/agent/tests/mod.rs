//! A whole agent with real commands, against a server that the test plays.

mod bench;
mod links;
mod lives;
