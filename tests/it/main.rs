//! Tests of the whole: each starts the real program and looks at it from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows the logs when it does"
)]

mod access;
mod examples;
mod faults;
mod harness;
mod launching;
mod leases;
mod managing;
mod messages;
mod scheduling;
mod serving;
mod surroundings;
mod terminal;
mod tidy;
mod tui;
mod wire;
mod world;
