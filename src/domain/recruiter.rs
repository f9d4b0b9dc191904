//! Recruiters: who hires for a batch while it has tasks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::hire::{Scope, Wanted};

/// What a recruiter of a batch does. Those of a batch are ranked from 1, and the
/// first that can gets its turn first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recruiter {
    /// Which machines: the name of a flavor, or a protofilter.
    pub flavor: String,
    /// Where. Without a provider or a region it only takes over idle workers of other
    /// batches; `auto` is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default)]
    pub concurrency: Sizing,
    #[serde(default)]
    pub prefetch: u32,
    /// One worker for so many pending tasks.
    #[schema(minimum = 1)]
    pub tasks_per_worker: u32,
    /// With fewer pending tasks it does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_tasks: Option<u32>,
    /// With so many workers in the batch it does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum_workers: Option<u32>,
    #[serde(skip)]
    #[schema(ignore)]
    pub scope: Scope,
}

/// How many commands a worker runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sizing {
    /// As many as that.
    Workers(u32),
    /// As many as fit, each with so much of the machine.
    PerTask {
        /// Cores.
        cpu: Option<u32>,
        /// GiB.
        memory: Option<f64>,
    },
}

impl Default for Sizing {
    fn default() -> Self {
        Self::Workers(1)
    }
}

impl Sizing {
    /// The concurrency of a worker on such a machine, 1 at least.
    #[must_use]
    pub fn concurrency(self, cores: u32, ram: Option<f64>) -> u32 {
        match self {
            Self::Workers(count) => count.max(1),
            Self::PerTask { cpu, memory } => {
                let by_cpu = cpu.filter(|cpu| *cpu > 0).map(|cpu| cores / cpu);
                let by_memory = match (memory, ram) {
                    (Some(each), Some(all)) if each > 0.0 => Some(whole(all / each)),
                    _ => None,
                };
                [by_cpu, by_memory].into_iter().flatten().min().unwrap_or(cores).max(1)
            }
        }
    }
}

/// The whole part of a number of machines' shares.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "kept within bounds")]
fn whole(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u32::MAX)) as u32
}

impl Recruiter {
    /// Which flavors it hires or takes over; `auto` and nothing are any.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let named = |text: &Option<String>| text.clone().filter(|text| text != "auto");
        Wanted {
            flavor: self.flavor.clone(),
            provider: named(&self.provider).map(super::flavor::ProviderName::new),
            region: named(&self.region).map(super::flavor::RegionName::new),
        }
    }

    /// Whether it may hire new machines, and not only take over workers.
    #[must_use]
    pub const fn may_deploy(&self) -> bool {
        self.provider.is_some() && self.region.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_as_many_slots_as_its_machine_has_room_for() {
        assert_eq!(Sizing::Workers(0).concurrency(8, None), 1);
        let sizing = Sizing::PerTask { cpu: Some(2), memory: Some(8.0) };
        assert_eq!(sizing.concurrency(8, Some(64.0)), 4);
        assert_eq!(sizing.concurrency(8, Some(20.0)), 2);
        assert_eq!(sizing.concurrency(8, None), 4);
        assert_eq!(sizing.concurrency(1, Some(4.0)), 1);
        assert_eq!(Sizing::PerTask { cpu: None, memory: None }.concurrency(8, None), 8);
    }
}
