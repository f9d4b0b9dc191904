//! What becomes of tasks that require a deleted one.

use clap::Args;

use crate::api::task::Dependents;

/// The options of every verb that deletes tasks.
#[derive(Debug, Clone, Copy, Args)]
pub struct DependentsOptions {
    /// Delete the tasks that require them as well
    #[arg(long, conflicts_with = "detach")]
    cascade: bool,
    /// Take the requirement away from the tasks that have it
    #[arg(long)]
    detach: bool,
}

impl DependentsOptions {
    #[must_use]
    pub const fn chosen(self) -> Dependents {
        match (self.cascade, self.detach) {
            (true, _) => Dependents::Cascade,
            (_, true) => Dependents::Detach,
            _ => Dependents::Refuse,
        }
    }

    /// What a question adds.
    #[must_use]
    pub const fn addition(self) -> &'static str {
        if self.cascade { " with all that require them" } else { "" }
    }
}
