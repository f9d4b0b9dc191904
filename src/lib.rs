//! scitq: a distributed task queue for heavy scientific tasks.
//!
//! `ARCHITECTURE.md` says what lives where and why; this list is its short form.

pub mod agent;
pub mod api;
pub mod cli;
pub mod clock;
pub mod domain;
pub mod runtime_dir;
pub mod server;
pub mod storage;
pub mod tui;
