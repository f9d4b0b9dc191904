//! Faults: the real programs are killed, cut off, and given full disks, wrong
//! clocks and old data while they queue and run tasks. At the end the database
//! and the files that the tasks wrote must agree on what `docs/guarantees.md`
//! promises.
//!
//! Each kind of fault is a file of its own. `tests/faults` runs them for longer,
//! and repeats a run from the seed that it printed.

mod chance;
mod checks;
mod clocks;
mod comebacks;
mod copies;
mod disks;
mod killed;
mod launcher;
mod links;
mod proxy;
mod scene;
mod web;
