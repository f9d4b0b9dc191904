//! Machines that the head hires: where they come from, and the jobs that fetch and
//! return them.
//!
//! What is to be hired and what goes is decided by the engine. This room carries it
//! out, and tells the engine by commands what came of it.

mod carry_out;
mod catalog;
mod journal;
pub mod kinds;
mod logs;
pub mod provider;
mod read;
mod service;
pub mod settings;
mod sweep;

pub use service::{HiringService, Tools, TrustOfOrphans};

use crate::domain::hire::{ProviderRules, Scope};
use settings::{HiringTable, ProviderTable};

/// The rules of the local provider that nobody has set up: it runs commands as the
/// server itself, so it is for administrators.
fn local_rules(table: &ProviderTable, hiring: &HiringTable) -> ProviderRules {
    ProviderRules { scope: Scope::Everything, ..table.rules(hiring) }
}
