//! Tests of the whole: each starts the real program and looks at it from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows the logs when it does"
)]

mod access;
mod agents;
mod arguments;
mod asking;
mod attacks;
mod backup;
mod bad_input;
mod by_hand;
mod cache;
mod clouds;
mod completions;
mod containers;
mod control;
mod engine;
mod evictions;
mod examples;
mod faults;
mod guarantees;
mod harness;
mod hiring;
mod hiring_killed;
mod hosts;
mod launch_messages;
mod launching;
mod leases;
mod legacy;
mod machine;
mod managing;
mod many;
mod memory;
mod messages;
mod mistakes;
mod netns;
mod network;
mod operating;
mod orphans;
mod package;
mod pictures;
mod registering;
mod registry;
mod scheduling;
mod schemathesis;
mod screen;
mod serving;
mod simulation;
mod ssh;
mod storage;
mod surroundings;
mod systemd;
mod terminal;
mod tidy;
mod tls;
mod tour;
mod tui;
mod tui_actions;
mod tui_network;
mod tui_output;
mod tui_recruit;
mod tui_surroundings;
mod units;
mod upgrades;
mod uploads;
mod wire;
mod world;
