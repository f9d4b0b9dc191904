//! Kinds of machines that can be hired, and the names of where they are.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = String)]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// The name under which a site has set up a source of machines.
    ProviderName
);
name!(
    /// A part of a provider in which a machine stands: a region, a partition, a lab.
    RegionName
);
name!(
    /// What a provider calls a kind of machine.
    FlavorName
);

/// A kind of machine in one region of one provider. What a provider does not tell is
/// none, and not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Flavor {
    pub name: FlavorName,
    pub provider: ProviderName,
    pub region: RegionName,
    /// Processor cores.
    pub cpu: u32,
    /// Main memory, GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram: Option<f64>,
    /// Room for data on its disks, GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<f64>,
    /// What its GPUs are, as their maker calls them; none: it has no GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Memory of all its GPUs, GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<f64>,
    /// One letter for each: `G` has a GPU, `M` is bare metal, `N` has NVMe disks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tags: String,
    /// Per hour, in `currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// `EUR`, `USD`; empty where no cost is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub currency: String,
    /// Of a hundred such machines, how many their provider takes away in an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<f64>,
}

impl Flavor {
    /// One of which only this is known.
    #[must_use]
    pub fn new(
        name: impl Into<Arc<str>>,
        provider: &ProviderName,
        region: &RegionName,
        cpu: u32,
    ) -> Self {
        Self {
            name: FlavorName::new(name),
            provider: provider.clone(),
            region: region.clone(),
            cpu,
            ram: None,
            disk: None,
            gpu: None,
            gpu_memory: None,
            tags: String::new(),
            cost: None,
            currency: String::new(),
            eviction: None,
        }
    }
}
