//! What an agent tells of its machine: what it is ([`detect_machine`]) and how
//! it does ([`Sampler`]).
//!
//! All of it is read from `/proc` and `/sys`. The parsers in `proc` are pure
//! functions over text; a file that is missing or odd costs the figure that
//! it carries and never the heartbeat.

mod machine;
mod memory;
mod oom;
mod proc;
mod sampler;

pub use machine::{MachineKind, TelemetryError, boot_id, detect_machine};
pub use oom::OomCounter;
pub use sampler::Sampler;
